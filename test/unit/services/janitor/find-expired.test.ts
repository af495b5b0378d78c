// Sessions that have exceeded a deadline.
import { describe, expect, test } from "vitest";
import type { SlotStatus } from "../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { findExpired, phaseOf } from "../../../../services/janitor/find-expired.ts";
import { AT, aSession } from "../../../kit/fixtures/sessions.ts";

describe("findExpired", () => {
  const expired = (record: SessionRecord, ageMs: number, slot?: SlotStatus) =>
    findExpired([{ record, ageMs }], () => slot, AT).map(({ kind, state, attempt }) => ({
      kind,
      state,
      attempt,
    }));
  const slot = (changed: Partial<SlotStatus>): SlotStatus => ({ id: "x", state: "busy", ...changed });

  test.each([
    ["waiting", aSession("s"), 60_000],
    ["join", aSession("s", { state: "dispatched", requestedWarmth: "warm" }), 10_000],
    ["join", aSession("s", { state: "dispatched", requestedWarmth: "cold" }), 30_000],
    ["ready", aSession("s", { state: "joined", attempt: 2 }), 15_000],
    ["max_duration", aSession("s", { state: "ready" }), 3_600_000],
  ] as const)("reports %s at its limit, not before", (kind, record, limitMs) => {
    expect(expired(record, limitMs - 1)).toEqual([]);
    expect(expired(record, limitMs)).toEqual([{ kind, state: record.state, attempt: record.attempt }]);
  });

  test("reports a long silence that the session's host measured", () => {
    const record = aSession("s", { state: "ready" });
    expect(expired(record, 2_000_000, slot({ userJoined: true, idleForMs: 1_700_000 }))).toEqual([]);
    expect(expired(record, 2_000_000, slot({ userJoined: true, idleForMs: 1_800_000 }))).toMatchObject([
      { kind: "idle" },
    ]);
  });

  test("reports a user who never joined, unless the host is silent about it", () => {
    const record = aSession("s", { state: "ready" });
    expect(expired(record, 300_000, slot({ userJoined: false }))).toMatchObject([{ kind: "user_absent" }]);
    expect(expired(record, 300_000)).toEqual([]);
  });

  test("reports no idle time longer than this janitor has seen the session ready", () => {
    const record = aSession("s", { state: "ready" });
    expect(expired(record, 1000, slot({ userJoined: true, idleForMs: 9_000_000 }))).toEqual([]);
  });

  test("ignores ended sessions", () => {
    expect(expired(aSession("s", { state: "ended" }), 9_000_000_000)).toEqual([]);
  });

  test("gives a reason with the limit, the waited time and what was missing", () => {
    const [event] = findExpired(
      [{ record: aSession("s", { state: "dispatched", host: "h", requestedWarmth: "warm" }), ageMs: 12_345 }],
      () => undefined,
      AT,
    );
    expect(event?.reason).toBe(
      "the agent on host h did not join room session-s within 12.3 s (limit 10000 ms)",
    );
    expect(event?.waitedMs).toBe(12_345);
  });

  test("counts the whole wait over several declines", () => {
    expect(phaseOf(aSession("s", { attempt: 5 }))).toBe(phaseOf(aSession("s", { attempt: 1 })));
    expect(phaseOf(aSession("s", { failures: 1 }))).not.toBe(phaseOf(aSession("s")));
    expect(phaseOf(aSession("s", { state: "joined", attempt: 2 }))).not.toBe(
      phaseOf(aSession("s", { state: "joined", attempt: 1 })),
    );
  });
});
