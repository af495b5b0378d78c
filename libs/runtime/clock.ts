// Time as the services see it, so that a simulation can give them another one.

export interface Clock {
  /** Milliseconds since 1970. For people to read; nothing is decided by it. */
  now(): number;
  /** Milliseconds that only ever grow; the one to measure durations with. */
  monotonic(): number;
  /** Calls once after `ms`; the answer cancels it. */
  after(ms: number, call: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

export const sleep = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(ms, resolve);
  });

/** ISO time of now. */
export const isoNow = (clock: Clock): string => new Date(clock.now()).toISOString();

/**
 * Calls `work` again and again, `ms` after the former call has ended, so that two never overlap.
 * A failure goes to `onError` and does not stop the repetition. The answer stops it.
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
    cancel = clock.after(ms, () => {
      Promise.resolve().then(work).catch(onError).finally(next);
    });
  };
  next();
  return () => {
    stopped = true;
    cancel();
  };
}
