// Splits the time of a start into its phases. Pure.
import type { StartupTimings } from "../../../libs/contracts/sessions/http.ts";
import type { SessionRecord, SessionState } from "../../../libs/contracts/sessions/session.ts";

type Timed = Pick<SessionRecord, "attempt" | "history" | "receivedAt" | "timings">;

/**
 * The duration of each phase up to the first `ready`, for people. The times come from the clocks of several processes, so
 * no duration is negative. A phase whose end is unknown counts as a part of the next one.
 *
 * @param nowMs ends the phase in progress
 */
export function startupTimingsOf(record: Timed, nowMs: number): StartupTimings {
  const { history, receivedAt, timings } = record;
  const ready = history.find(({ state }) => state === "ready");
  const attempt = ready?.attempt ?? record.attempt;
  const timeOf = (state: SessionState) =>
    parse(history.find((entry) => entry.attempt === attempt && entry.state === state)?.at);
  const joinedAt = timeOf("joined");
  const readyAt = parse(ready?.at);
  // The host measures both from its acceptance, by its own clock. A later attempt has replaced those of the first.
  const { joinMs, readyMs } = attempt === record.attempt ? timings : {};
  const ends = {
    dispatch: parse(receivedAt),
    queue: timeOf("dispatched"),
    assign: minus(joinedAt, joinMs) ?? minus(readyAt, readyMs),
    join: joinedAt,
    entry: readyAt,
  };

  const phases = Object.entries(ends) as [keyof typeof ends, number | undefined][];
  const last = phases.findLastIndex(([, endAt]) => endAt !== undefined);
  const durations: Partial<Record<keyof typeof ends, number>> = {};
  let since = parse(history[0]?.at) ?? nowMs;
  for (const [phase, endAt] of phases) {
    if (endAt === undefined) continue;
    durations[phase] = Math.max(0, endAt - since);
    since = endAt;
  }
  const current = phases[last + 1]?.[0];
  if (current !== undefined) durations[current] = Math.max(0, (timeOf("ended") ?? nowMs) - since);
  const { dispatch, queue, assign, join, entry } = durations;
  return {
    phase: current ?? "ready",
    ...(dispatch === undefined ? {} : { dispatchMs: Math.round(dispatch) }),
    ...(queue === undefined ? {} : { queueMs: Math.round(queue) }),
    ...(assign === undefined ? {} : { assignMs: Math.round(assign) }),
    ...(join === undefined ? {} : { joinMs: Math.round(join) }),
    ...(entry === undefined ? {} : { entryMs: Math.round(entry) }),
    totalMs: Math.round(Object.values(durations).reduce((sum, ms) => sum + ms, 0)),
  };
}

/** A time in ms; undefined for a missing time, or one that a client forged. */
function parse(at: string | undefined): number | undefined {
  const ms = at === undefined ? Number.NaN : Date.parse(at);
  return Number.isNaN(ms) ? undefined : ms;
}

const minus = (atMs: number | undefined, ms: number | undefined): number | undefined =>
  atMs === undefined || ms === undefined ? undefined : atMs - ms;
