// The verdict on a session, from invented states and events.
import { expect, test } from "vitest";
import type { StateDuration } from "../../../../cli/inspect/describe-record.ts";
import type { TimelineEntry } from "../../../../cli/inspect/timeline.ts";
import { verdictOf } from "../../../../cli/inspect/verdict.ts";
import type { SessionRecord, SessionState } from "../../../../libs/contracts/sessions/session.ts";

const BEGAN_MS = Date.parse("2026-01-31T12:00:00.000Z");

const step = (state: SessionState, attempt: number, ms: number): StateDuration => ({
  ...{ state, attempt, host: "h", atMs: BEGAN_MS + ms, lastedMs: undefined },
});
const event = (type: string, attempt: number, ms: number): TimelineEntry => ({
  ...{ at: new Date(BEGAN_MS + ms).toISOString(), stream: "SESSIONS", sequence: 1, what: type, details: [] },
  data: { type, attempt },
});
const record = (change: Partial<SessionRecord>) => ({ attempt: 1, ...change }) as SessionRecord;
const requested = event("requested", 1, 0);

test("names the end, its time, and an agent that was lost and replaced", () => {
  const steps = [
    step("dispatched", 1, 20),
    step("ready", 1, 300),
    step("dispatched", 2, 9610),
    step("joined", 2, 10_200),
    step("ready", 2, 10_300),
    step("ended", 2, 45_600),
  ];
  const ended = record({ state: "ended", endedReason: "completed", fault: "none" });
  expect(verdictOf(ended, steps, [requested, event("agent_lost", 1, 9600)])).toBe(
    "ended completed after 45.6 s, ready after 300 ms; agent lost at +9.6 s, replaced in 700 ms",
  );
});

test("names who is at fault for a session that was never ready, and counts further attempts", () => {
  const steps = [1, 2, 3, 4, 5, 6].map((attempt) => step("dispatched", attempt, attempt * 1000));
  const events = [1, 2, 3, 4, 5].map((attempt) => event("agent_ended", attempt, attempt * 1000 + 500));
  const ended = record({ state: "ended", endedReason: "agent_error", fault: "agent" });
  const parts = verdictOf(ended, [...steps, step("ended", 6, 7000)], [requested, ...events]).split("; ");
  expect(parts[0]).toBe("ended agent_error after 7.0 s, never ready (fault: agent)");
  expect(parts.slice(1)).toEqual([
    ...["agent failed at +1.5 s", "agent failed at +2.5 s", "agent failed at +3.5 s"],
    "2 more",
  ]);
});

test("describes a session that has not ended, and one without a record", () => {
  const steps = [step("dispatched", 1, 20), step("ready", 1, 300)];
  expect(verdictOf(record({ state: "ready" }), steps, [requested])).toBe(
    "ready since +300 ms, attempt 1, ready after 300 ms",
  );
  expect(verdictOf(record({ state: "requested" }), [step("requested", 1, 5)], [requested])).toBe(
    "requested since +5 ms, attempt 1",
  );
  expect(verdictOf(undefined, steps, [requested])).toBe("record deleted");
});

test("finds no event of an attempt that a host declined", () => {
  const steps = [step("dispatched", 1, 20), step("dispatched", 2, 60), step("ready", 2, 400)];
  expect(verdictOf(record({ state: "ready", attempt: 2 }), steps, [requested])).toBe(
    "ready since +400 ms, attempt 2, ready after 400 ms; attempt 1 failed at +60 ms, replaced in 340 ms",
  );
});
