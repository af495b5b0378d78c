// What becomes of a session whose provider finds nobody for it, or refuses it.
import { expect, test } from "vitest";
import { step } from "../../../../../libs/domain/session/reduce.ts";
import { dispatched, fromHost, joined, ready } from "../../../../kit/fixtures/session-moves.ts";

test("what nobody took waits its pause without a failure, and what was asked for is taken back", () => {
  const before = dispatched();
  const said = { type: "not_taken", why: "no worker took it", pauseMs: 1000 } as const;
  const after = step(before, fromHost(before, said));
  expect(after).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 1000, avoid: [] });
  expect(after.former).toMatchObject({ attempt: 1, host: "h1", identity: "agent-s-1" });
  expect(after.history.at(-1)?.why).toBe("no worker took it");
  for (const late of [joined(before), ready(before)])
    expect(step(late, fromHost(late, said)), late.state).toBe(late);
});

test("what its provider refuses ends with a reason of its own, and at once when it is no use", () => {
  const before = dispatched();
  const said = { type: "agent_ended", why: "it refused", error: "403", cause: "provider" } as const;
  expect(step(before, fromHost(before, { ...said, worthRepeating: false }))).toMatchObject({
    state: "ended",
    endedReason: "provider_error",
    fault: "provider",
    failures: 1,
  });
  const again = step(before, fromHost(before, { ...said, worthRepeating: true }));
  expect(again).toMatchObject({ state: "requested", attempt: 2, failures: 1 });
});
