// The clock of a service, which a simulation can replace.

export interface Clock {
  /** Milliseconds since 1970. For display only; nothing is decided by it. */
  now(): number;
  /** Milliseconds that never decrease. For durations. */
  monotonic(): number;
  /**
   * Calls `call` once, after `ms`. The returned function cancels the call.
   *
   * @param precision `coarse`, for periodic work: up to 125 ms earlier or later, together with other such calls
   */
  after(ms: number, call: () => void, precision?: "coarse"): () => void;
}

/** Coarse timers fire at multiples of this time, because each wake of an idle process costs as much as its work. */
const COARSE_MS = 250;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call, precision) {
    const timer = setTimeout(call, precision === "coarse" && ms >= COARSE_MS ? coarse(ms) : ms);
    return () => clearTimeout(timer);
  },
};

function coarse(ms: number): number {
  const now = performance.now();
  return Math.round((now + ms) / COARSE_MS) * COARSE_MS - now;
}

export const sleep = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(ms, resolve);
  });

/** The present time in ISO format. */
export const isoNow = (clock: Clock): string => new Date(clock.now()).toISOString();

/**
 * Calls `work` repeatedly, about `ms` after the previous call has ended, so calls never overlap.
 * A failure goes to `onError` and does not stop the repetition. The returned function stops it.
 */
export function repeat(
  clock: Clock,
  ms: number,
  work: () => Promise<void> | void,
  onError: (error: unknown) => void,
): () => void {
  let stopped = false;
  let cancel = () => {};
  const next = () => {
    if (stopped) return;
    const run = () => void Promise.resolve().then(work).catch(onError).finally(next);
    cancel = clock.after(ms, run, "coarse");
  };
  next();
  return () => {
    stopped = true;
    cancel();
  };
}
