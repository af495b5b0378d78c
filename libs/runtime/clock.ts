// The clock of a service, which a simulation can replace.

export interface Clock {
  /** Milliseconds since 1970. For display only; nothing is decided by it. */
  now(): number;
  /** Milliseconds that never decrease. For durations. */
  monotonic(): number;
  /** Calls `call` once, after `ms`. The returned function cancels the call. */
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

/** The present time in ISO format. */
export const isoNow = (clock: Clock): string => new Date(clock.now()).toISOString();

/**
 * Calls `work` repeatedly, `ms` after the previous call has ended, so calls never overlap.
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
