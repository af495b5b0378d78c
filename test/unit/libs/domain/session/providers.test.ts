// What becomes of a session whose provider finds nobody for it, or refuses it.
import { expect, test } from "vitest";
import { reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import { dispatched, fromHost, joined, ready } from "../../../../kit/fixtures/session-moves.ts";

test("what nobody took waits its pause without a failure, and what was asked for is taken back", () => {
  const before = dispatched();
  const said = { type: "provider_declined", reason: "no worker took it", pauseMs: 1000 } as const;
  const after = reduceSession(before, fromHost(before, said));
  expect(after).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 1000, avoid: [] });
  expect(after.previous).toMatchObject({ attempt: 1, host: "h1", identity: "agent-s-1" });
  expect(after.history.at(-1)?.reason).toBe("no worker took it");
  for (const late of [joined(before), ready(before)])
    expect(reduceSession(late, fromHost(late, said)), late.state).toBe(late);
});

test("what its provider refuses ends with a reason of its own, and at once when it is no use", () => {
  const before = dispatched();
  const said = { type: "agent_ended", reason: "it refused", error: "403", cause: "provider" } as const;
  expect(reduceSession(before, fromHost(before, { ...said, retryable: false }))).toMatchObject({
    state: "ended",
    endedReason: "provider_error",
    fault: "provider",
    failures: 1,
  });
  const again = reduceSession(before, fromHost(before, { ...said, retryable: true }));
  expect(again).toMatchObject({ state: "requested", attempt: 2, failures: 1 });
});
