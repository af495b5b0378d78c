// What the janitor decides: what is overdue, which rooms and sessions are orphans.
import { describe, expect, test } from "vitest";
import type { SlotStatus } from "../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { findExpired, phaseOf } from "../../../../services/janitor/find-expired.ts";
import { confirmOrphans, findOrphans } from "../../../../services/janitor/find-orphans.ts";
import { buildRollups } from "../../../../services/janitor/rollup.ts";
import { AT, aHost, aSession } from "../../../kit/fixtures/sessions.ts";

describe("a session is overdue", () => {
  const said = (record: SessionRecord, ageMs: number, slot?: SlotStatus) =>
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
  ] as const)("as %s from its limit on, and not before", (kind, record, limitMs) => {
    expect(said(record, limitMs - 1)).toEqual([]);
    expect(said(record, limitMs)).toEqual([{ kind, state: record.state, attempt: record.attempt }]);
  });

  test("when nobody spoke for long, by the word of its host", () => {
    const record = aSession("s", { state: "ready" });
    expect(said(record, 2_000_000, slot({ userJoined: true, idleForMs: 1_700_000 }))).toEqual([]);
    expect(said(record, 2_000_000, slot({ userJoined: true, idleForMs: 1_800_000 }))).toMatchObject([
      { kind: "idle" },
    ]);
  });

  test("when its user never came, and not while its host says nothing of it", () => {
    const record = aSession("s", { state: "ready" });
    expect(said(record, 300_000, slot({ userJoined: false }))).toMatchObject([{ kind: "user_absent" }]);
    expect(said(record, 300_000)).toEqual([]);
  });

  test("never as idle for longer than this janitor has seen it ready", () => {
    const record = aSession("s", { state: "ready" });
    expect(said(record, 1000, slot({ userJoined: true, idleForMs: 9_000_000 }))).toEqual([]);
  });

  test("never once it has ended", () => {
    expect(said(aSession("s", { state: "ended" }), 9_000_000_000)).toEqual([]);
  });

  test("in words that say which limit was passed, how long it took and what was missing", () => {
    const [overdue] = findExpired(
      [{ record: aSession("s", { state: "dispatched", host: "h", requestedWarmth: "warm" }), ageMs: 12_345 }],
      () => undefined,
      AT,
    );
    expect(overdue?.reason).toBe(
      "the agent on host h did not join room session-s within 12.3 s (limit 10000 ms)",
    );
    expect(overdue?.waitedMs).toBe(12_345);
  });

  test("by its wait as a whole, while one host after the other declines it", () => {
    expect(phaseOf(aSession("s", { attempt: 5 }))).toBe(phaseOf(aSession("s", { attempt: 1 })));
    expect(phaseOf(aSession("s", { failures: 1 }))).not.toBe(phaseOf(aSession("s")));
    expect(phaseOf(aSession("s", { state: "joined", attempt: 2 }))).not.toBe(
      phaseOf(aSession("s", { state: "joined", attempt: 1 })),
    );
  });
});

describe("an orphan is", () => {
  test("a room of ours that no living session has", () => {
    const live = aSession("live", { state: "ready" });
    const over = aSession("over", { state: "ended", room: "named-by-a-client", roomIsNamed: true });
    const rooms = ["session-live", "session-gone", "named-by-a-client", "somebody-elses"];
    expect(findOrphans(rooms, [live, over], []).rooms).toEqual(["session-gone", "named-by-a-client"]);
  });

  test("a standby room whose slot no host has", () => {
    const slots = [{ id: "s1", state: "hot" as const }];
    const host = aHost("h", 1, { processes: [{ id: "stage", profile: "echo", slots }] });
    expect(findOrphans(["standby-s1", "standby-s2"], [], [host]).rooms).toEqual(["standby-s2"]);
  });

  test("no standby room that a session has taken over", () => {
    const record = aSession("a", { state: "ready", room: "standby-s1" });
    expect(findOrphans(["standby-s1"], [record], []).rooms).toEqual([]);
  });

  test("a ready session without a room, and none that is not ready yet", () => {
    const ready = aSession("r", { state: "ready" });
    const records = [ready, aSession("j", { state: "joined" }), aSession("e", { state: "ended" })];
    expect(findOrphans([], records, []).sessions).toEqual([ready]);
  });

  test("a ready session of LiveKit's dispatch without a room, but no call of VAPI's, which never had one", () => {
    const dispatched = aSession("d", { state: "ready", provider: "livekit" });
    const called = aSession("v", { state: "ready", provider: "vapi" });
    expect(findOrphans([], [dispatched, called], []).sessions).toEqual([dispatched]);
  });

  test("only what was one the time before too, in the same attempt", () => {
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

test("a roll-up is made from the records alone: counts by reason and warmth, and how long starts took", () => {
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
