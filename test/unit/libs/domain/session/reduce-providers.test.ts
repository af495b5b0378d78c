// Sessions whose provider declines or refuses them.
import { expect, test } from "vitest";
import { reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import { dispatched, fromHost, joined, ready } from "../../../../kit/fixtures/session-moves.ts";

test("waits without a failure when no worker accepted, and releases the launch", () => {
  const before = dispatched();
  const event = { type: "provider_declined", reason: "no worker took it", pauseMs: 1000 } as const;
  const after = reduceSession(before, fromHost(before, event));
  expect(after).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 1000, avoid: [] });
  expect(after.previous).toMatchObject({ attempt: 1, host: "h1", identity: "agent-s-1" });
  expect(after.history.at(-1)?.reason).toBe("no worker took it");
  for (const late of [joined(before), ready(before)])
    expect(reduceSession(late, fromHost(late, event)), late.state).toBe(late);
});

test("ends with provider_error when the provider refuses for good, else is retried", () => {
  const before = dispatched();
  const event = { type: "agent_ended", reason: "it refused", error: "403", cause: "provider" } as const;
  expect(reduceSession(before, fromHost(before, { ...event, retryable: false }))).toMatchObject({
    state: "ended",
    endedReason: "provider_error",
    fault: "provider",
    failures: 1,
  });
  const again = reduceSession(before, fromHost(before, { ...event, retryable: true }));
  expect(again).toMatchObject({ state: "requested", attempt: 2, failures: 1 });
});
