// The janitor's pure decisions: expired sessions, orphaned rooms and sessions, rollups.
import { describe, expect, test } from "vitest";
import type { SlotStatus } from "../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { findExpired, phaseOf } from "../../../../services/janitor/find-expired.ts";
import { confirmOrphans, findOrphans } from "../../../../services/janitor/find-orphans.ts";
import { buildRollups } from "../../../../services/janitor/rollup.ts";
import { AT, aHost, aSession } from "../../../kit/fixtures/sessions.ts";

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

describe("findOrphans and confirmOrphans", () => {
  test("finds a room of Greenroom without a live session", () => {
    const live = aSession("live", { state: "ready" });
    const over = aSession("over", { state: "ended", room: "named-by-a-client", roomIsNamed: true });
    const rooms = ["session-live", "session-gone", "named-by-a-client", "somebody-elses"];
    expect(findOrphans(rooms, [live, over], []).rooms).toEqual(["session-gone", "named-by-a-client"]);
  });

  test("finds a standby room whose slot no host has", () => {
    const slots = [{ id: "s1", state: "hot" as const }];
    const host = aHost("h", 1, { processes: [{ id: "process", profile: "echo", slots }] });
    expect(findOrphans(["standby-s1", "standby-s2"], [], [host]).rooms).toEqual(["standby-s2"]);
  });

  test("ignores a standby room that a session uses", () => {
    const record = aSession("a", { state: "ready", room: "standby-s1" });
    expect(findOrphans(["standby-s1"], [record], []).rooms).toEqual([]);
  });

  test("finds a ready session without a room, but none that is not ready yet", () => {
    const ready = aSession("r", { state: "ready" });
    const records = [ready, aSession("j", { state: "joined" }), aSession("e", { state: "ended" })];
    expect(findOrphans([], records, []).sessions).toEqual([ready]);
  });

  test("finds a session of LiveKit's dispatch without a room, but not one of VAPI, which never has a room", () => {
    const dispatched = aSession("d", { state: "ready", provider: "livekit" });
    const called = aSession("v", { state: "ready", provider: "vapi" });
    expect(findOrphans([], [dispatched, called], []).sessions).toEqual([dispatched]);
  });

  test("confirms only what was orphaned the time before too, in the same attempt", () => {
    const one = aSession("r", { state: "ready", attempt: 1 });
    const two = { ...one, attempt: 2 };
    expect(confirmOrphans(undefined, { rooms: ["x"], sessions: [one] })).toEqual({ rooms: [], sessions: [] });
    const both = confirmOrphans(
      { rooms: ["x", "y"], sessions: [one] },
      { rooms: ["y", "z"], sessions: [two] },
    );
    expect(both).toEqual({ rooms: ["y"], sessions: [] });
  });
});

test("counts sessions by reason and warmth, and measures starts, from records alone", () => {
  const ended = (id: string, readyAt: string | undefined, changed: Partial<SessionRecord>): SessionRecord =>
    aSession(id, {
      state: "ended",
      ...changed,
      history: [
        { state: "requested", at: "2026-01-31T12:34:00.000Z", attempt: 1 },
        ...(readyAt === undefined ? [] : [{ state: "ready" as const, at: readyAt, attempt: 1 }]),
        { state: "ended", at: "2026-01-31T12:34:56.000Z", attempt: 1 },
      ],
    });
  const rollups = buildRollups([
    ended("a", "2026-01-31T12:34:00.100Z", { endedReason: "completed", warm: "hot" }),
    ended("b", "2026-01-31T12:34:00.300Z", { endedReason: "completed", warm: "warm", attempt: 2 }),
    ended("c", undefined, { endedReason: "no_capacity" }),
    aSession("running"),
  ]);
  expect(rollups).toEqual([
    {
      tenant: "t",
      profile: "echo",
      minute: "2026-01-31T12:34Z",
      sessions: 3,
      byReason: { completed: 2, no_capacity: 1 },
      byWarmth: { hot: 1, warm: 1, none: 1 },
      attempts: 4,
      startMs: { p50: 100, p95: 300, max: 300 },
    },
  ]);
});
