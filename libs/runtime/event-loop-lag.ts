// Measures the lag of this process's event loop.
import { monitorEventLoopDelay } from "node:perf_hooks";

/** The timer wakes an idle process at this interval. Half of it would cost another 0.1 % of a core. */
const RESOLUTION_MS = 50;

/** Lag since the previous reading, in ms. */
export interface Lag {
  /** A single long pause (garbage collection, a stopped process) does not raise the median. */
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LagMeter {
  read(): Lag;
  stop(): void;
}

export function startLagMeter(): LagMeter {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const lagOf = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  return {
    read() {
      const lag = {
        medianMs: lagOf(delay.percentile(50)),
        p99Ms: lagOf(delay.percentile(99)),
        maxMs: lagOf(delay.max),
      };
      delay.reset();
      return lag;
    },
    stop: () => void delay.disable(),
  };
}
