// The phases of a start: finished ones, the one in progress, and what is left out.
import { describe, expect, test } from "vitest";
import type { HistoryEntry, SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { startupTimingsOf } from "../../../../../services/gateway/sessions/startup-timings.ts";

const START_MS = Date.parse("2026-01-01T00:00:00.000Z");
const at = (ms: number): string => new Date(START_MS + ms).toISOString();
const entry = (state: HistoryEntry["state"], ms: number, attempt = 1): HistoryEntry => ({
  state,
  at: at(ms),
  attempt,
});

const timingsOf = (history: readonly HistoryEntry[], changed: Partial<SessionRecord> = {}, nowMs = 1000) =>
  startupTimingsOf(
    { attempt: 1, history: [...history], receivedAt: at(40), timings: {}, ...changed },
    START_MS + nowMs,
  );

describe("startupTimingsOf", () => {
  const requested = entry("requested", 0);
  const dispatched = entry("dispatched", 100);
  const joined = entry("joined", 350);
  const ready = entry("ready", 800);
  const timings = { joinMs: 200, readyMs: 650 };

  test("returns the durations of all phases once the agent is ready", () => {
    expect(timingsOf([requested, dispatched, joined, ready], { timings })).toEqual({
      phase: "ready",
      dispatchMs: 40,
      queueMs: 60,
      assignMs: 50,
      joinMs: 200,
      entryMs: 450,
      totalMs: 800,
    });
  });

  test("returns the same after the session has ended or failed over", () => {
    const ended = entry("ended", 9000);
    const before = timingsOf([requested, dispatched, joined, ready], { timings });
    expect(timingsOf([requested, dispatched, joined, ready, ended], { timings })).toEqual(before);
    const next = [entry("requested", 5000, 2), entry("dispatched", 5010, 2)];
    const after = timingsOf([requested, dispatched, joined, ready, ...next], { attempt: 2, timings: {} });
    // The second attempt has replaced the timings of the first.
    expect(after).toEqual({
      phase: "ready",
      dispatchMs: 40,
      queueMs: 60,
      joinMs: 250,
      entryMs: 450,
      totalMs: 800,
    });
  });

  test.each([
    ["dispatch", [requested], { receivedAt: undefined }, { dispatchMs: 1000 }],
    ["queue", [requested], {}, { dispatchMs: 40, queueMs: 960 }],
    ["assign", [requested, dispatched], {}, { dispatchMs: 40, queueMs: 60, assignMs: 900 }],
    [
      "entry",
      [requested, dispatched, joined],
      { timings: { joinMs: 200 } },
      { dispatchMs: 40, queueMs: 60, assignMs: 50, joinMs: 200, entryMs: 650 },
    ],
  ] as const)(
    "returns the phase %s in progress with its duration so far",
    (phase, history, changed, known) => {
      expect(timingsOf(history, changed as Partial<SessionRecord>)).toEqual({
        phase,
        ...known,
        totalMs: 1000,
      });
    },
  );

  test("ends with a session that never became ready", () => {
    const failed = timingsOf([requested, dispatched, entry("ended", 700)], {}, 60_000);
    expect(failed).toMatchObject({ phase: "assign", assignMs: 600, totalMs: 700 });
  });

  test("counts failed attempts as a part of the queue", () => {
    const second = [entry("requested", 300, 2), entry("dispatched", 500, 2)];
    expect(timingsOf([requested, dispatched, ...second], { attempt: 2 })).toMatchObject({
      phase: "assign",
      queueMs: 460,
      assignMs: 500,
    });
  });

  test("adds a phase of unknown end to the next one", () => {
    expect(timingsOf([requested, dispatched, ready], { timings: { readyMs: 650 } })).toEqual({
      phase: "ready",
      dispatchMs: 40,
      queueMs: 60,
      assignMs: 50,
      entryMs: 650,
      totalMs: 800,
    });
    const old = timingsOf([requested, dispatched, joined, ready], { receivedAt: undefined, timings });
    expect(old).not.toHaveProperty("dispatchMs");
    expect(old).toMatchObject({ queueMs: 100, totalMs: 800 });
  });

  test("returns no negative duration although clocks differ", () => {
    const late = timingsOf([requested, entry("dispatched", -5000), joined, ready], { timings });
    for (const ms of Object.values(late)) if (typeof ms === "number") expect(ms).toBeGreaterThanOrEqual(0);
    expect(timingsOf([{ ...requested, at: "never" }])).toMatchObject({ phase: "queue" });
  });
});
