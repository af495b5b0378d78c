// The outcome of a start: counted once its record is saved, and excused on a host that is at fault.
import { describe, expect, test } from "vitest";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { StartOutcome } from "../../../../services/dispatcher/start-outcome.ts";
import { AT, aSession } from "../../../kit/fixtures/sessions.ts";

function scene(changed: Partial<SessionRecord> = {}, atFault: string[] = ["bad"]) {
  const counted: string[] = [];
  const outcome = new StartOutcome({
    succeeded: ({ host }) => void counted.push(`${host} succeeded`),
    failed: ({ host }, reason) => void counted.push(`${host} failed: ${reason}`),
    isAtFault: (host) => atFault.includes(host),
  });
  const record = aSession("s", { state: "dispatched", host: "bad", hostEpoch: 1, ...changed });
  const { tenant, sessionId, attempt, host = "" } = record;
  const by = { tenant, sessionId, attempt, host, epoch: 1, at: AT };
  const lost = { ...by, type: "agent_lost", reason: "its process died" } as const;
  return { counted, outcome, record, by, lost };
}

describe("StartOutcome", () => {
  test("excuses a failed start on a host that is at fault, and releases what runs there", () => {
    const { counted, outcome, record, lost } = scene({ state: "joined", room: "standby-1", identity: "a-1" });
    const next = outcome.reduce(record, lost);
    expect(next).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 0, avoid: ["bad"] });
    expect(next).toMatchObject({
      room: "session-s",
      previous: { host: "bad", attempt: 1, room: "standby-1" },
    });
    expect(counted).toEqual([]);
    outcome.count();
    outcome.count();
    expect(counted).toEqual(["bad failed: its process died"]);
  });

  test("excuses a host that could not reach LiveKit, also if nothing else is known about it", () => {
    const { counted, outcome, record, by } = scene({}, []);
    const error = { reason: "the agent's code failed", error: "signal failure", retryable: true } as const;
    const next = outcome.reduce(record, { ...by, type: "agent_ended", ...error, cause: "host" });
    expect(next).toMatchObject({ state: "requested", attempt: 2, failures: 0, avoid: ["bad"] });
    outcome.count();
    expect(counted).toHaveLength(1);
    const other = outcome.reduce(record, { ...by, type: "agent_ended", ...error });
    expect(other).toMatchObject({ attempt: 2, failures: 1 });
  });

  test("excuses an error that no retry would mend, and the last attempt", () => {
    const { outcome, record, by } = scene({ failures: 2, attempt: 3, maxAttempts: 3 });
    const error = { reason: "it threw", error: "no key", retryable: false };
    const next = outcome.reduce(record, { ...by, type: "agent_ended", ...error });
    expect(next).toMatchObject({ state: "requested", attempt: 4, failures: 2 });
  });

  test("counts the failure of a host that is not at fault, which costs an attempt", () => {
    const { counted, outcome, record, lost } = scene({}, []);
    expect(outcome.reduce(record, lost)).toMatchObject({ state: "requested", failures: 1 });
    outcome.count();
    expect(counted).toEqual(["bad failed: its process died"]);
  });

  test("excuses a session as often as it has attempts, so that it ends at some time", () => {
    const excused = scene({ attempt: 3, maxAttempts: 3 });
    expect(excused.outcome.reduce(excused.record, excused.lost)).toMatchObject({ failures: 0 });
    const spent = scene({ attempt: 4, maxAttempts: 3 });
    expect(spent.outcome.reduce(spent.record, spent.lost)).toMatchObject({ failures: 1 });
  });

  test("counts a session that became ready, and nothing of its later life", () => {
    const { counted, outcome, record, by, lost } = scene();
    const at = { room: "session-s", identity: "a", warm: "warm", tookMs: 1 } as const;
    const ready = outcome.reduce(record, { ...by, type: "ready", ...at });
    outcome.count();
    expect(outcome.reduce(ready, lost)).toMatchObject({ failures: 1, recovering: true });
    outcome.count();
    expect(counted).toEqual(["bad succeeded"]);
  });

  test("leaves providers alone, and events of other attempts", () => {
    const provider = scene({ host: "provider-livekit", provider: "livekit" }, ["provider-livekit"]);
    expect(provider.outcome.reduce(provider.record, provider.lost)).toMatchObject({ failures: 1 });
    const { counted, outcome, record, lost } = scene();
    expect(outcome.reduce(record, { ...lost, attempt: 7 })).toBe(record);
    outcome.count();
    provider.outcome.count();
    expect([...counted, ...provider.counted]).toEqual([]);
  });
});
