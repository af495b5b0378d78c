// Measures recent starts that this gateway has seen, and estimates the next one.
import { median, queueKeyOf } from "../../../libs/domain/capacity.ts";
import type { SeenSession, SessionView } from "../../../libs/fleet/session-view.ts";
import type { Capacity } from "./capacity.ts";

/** Values for an estimate before the first measurement. */
const FIRST_GUESS_MS = { warm: 500, cold: 3000, free: 30_000 };
/** Number of starts in a median. */
const REMEMBERED = 32;
/** A host starts this many agents at a time. */
const PARALLEL_STARTS = 4;

export interface StartTimes {
  /**
   * The time in ms until a session is ready.
   * @param line the sessions that are measured together, by `queueKeyOf`
   * @param position the position in the wait queue, 0 for none
   */
  estimateMs(line: string, capacity: Capacity, position: number): number;
}

interface Measured {
  readonly warmMs: number[];
  readonly coldMs: number[];
  /** Times at which ended sessions freed an agent. */
  readonly freedAtMs: number[];
}

/** Measures every start whose beginning this gateway sees. Needs no stop. */
export function measureStarts(sessions: SessionView): StartTimes {
  const measured = new Map<string, Measured>();
  const startedAtMs = new Map<string, number>();
  const of = (profile: string): Measured => {
    const present = measured.get(profile) ?? { warmMs: [], coldMs: [], freedAtMs: [] };
    measured.set(profile, present);
    return present;
  };
  sessions.onChange(({ key, seen }) => {
    if (seen === undefined) startedAtMs.delete(key);
    else take(seen);
  });
  const take = ({ key, record, seenAtMs }: SeenSession) => {
    const isFresh = record.history.length <= 2 && record.state !== "ready" && record.state !== "ended";
    if (isFresh && !startedAtMs.has(key)) startedAtMs.set(key, seenAtMs);
    if (record.state !== "ready" && record.state !== "ended") return;
    const startedAt = startedAtMs.get(key);
    startedAtMs.delete(key);
    const profile = of(queueKeyOf(record));
    if (record.state === "ended") keep(profile.freedAtMs, seenAtMs);
    // A retried start measures failures rather than the duration of starts.
    else if (startedAt !== undefined && record.failures === 0) {
      keep(record.warm === "cold" ? profile.coldMs : profile.warmMs, seenAtMs - startedAt);
    }
  };
  return {
    estimateMs(name, capacity, position) {
      const { warmMs, coldMs, freedAtMs } = of(name);
      const cold = () => median(coldMs) ?? (capacity.warmUpMs ?? FIRST_GUESS_MS.cold) + FIRST_GUESS_MS.warm;
      if (capacity.idle >= Math.max(1, position)) return Math.round(median(warmMs) ?? FIRST_GUESS_MS.warm);
      if (capacity.cold > 0) return Math.round(cold() * Math.max(1, Math.ceil(position / PARALLEL_STARTS)));
      return Math.round((meanGapMs(freedAtMs) ?? FIRST_GUESS_MS.free) * Math.max(1, position));
    },
  };
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > REMEMBERED) values.shift();
}

function meanGapMs(times: readonly number[]): number | undefined {
  const first = times[0];
  const last = times.at(-1);
  if (first === undefined || last === undefined || times.length < 3) return undefined;
  return (last - first) / (times.length - 1);
}

/** An estimate for people: "1-2s". The upper end adds 50 %. */
export function rangeOf(ms: number): string {
  const low = Math.floor(ms / 1000);
  return `${low}-${Math.max(low + 1, Math.ceil((ms * 1.5) / 1000))}s`;
}
