// A clock for one part of a process. After the part is closed, none of its timers fires.
import type { Clock } from "./clock.ts";

export interface ScopedClock {
  readonly clock: Clock;
  /** Cancels every timer. Later ones never fire. */
  close(): void;
}

/** @param enter runs each timer's callback, for example within the context of the part */
export function scopedClock(clock: Clock, enter: (call: () => void) => void): ScopedClock {
  const pending = new Set<() => void>();
  let isClosed = false;
  return {
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after(ms, call, precision) {
        if (isClosed) return () => {};
        const fire = () => {
          pending.delete(cancel);
          enter(call);
        };
        const cancelTimer = clock.after(ms, fire, precision);
        const cancel = () => {
          pending.delete(cancel);
          cancelTimer();
        };
        pending.add(cancel);
        return cancel;
      },
    },
    close() {
      isClosed = true;
      for (const cancel of [...pending]) cancel();
    },
  };
}
