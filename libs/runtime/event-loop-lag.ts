// Measures the lag of this process's event loop.
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 10;

export interface LagMeter {
  /**
   * Median lag since the last reading, in ms. A single long pause (garbage collection, a stopped process) does not
   * raise the median.
   */
  read(): number;
  stop(): void;
}

export function startLagMeter(): LagMeter {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return {
    read() {
      const lagMs = Math.max(0, delay.percentile(50) / 1e6 - RESOLUTION_MS);
      delay.reset();
      return lagMs;
    },
    stop: () => void delay.disable(),
  };
}
