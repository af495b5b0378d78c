// Measures the lag of this process's event loop.

/** The timer wakes an idle process at this interval. */
const INTERVAL_MS = 100;
/** Without readings for longer, the oldest samples are dropped. */
const SAMPLES_MAX = 6000;

/** Lag since the previous reading, in ms. */
export interface Lag {
  /** Includes the time before the previous reading, so that a single long pause does not raise the median. */
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LagMeter {
  read(): Lag;
  stop(): void;
}

export function startLagMeter(): LagMeter {
  let lags: number[] = [];
  let earlier: readonly number[] = [];
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (lags.length === SAMPLES_MAX) lags.shift();
    lags.push(Math.max(0, nowMs - lastMs - INTERVAL_MS));
    lastMs = nowMs;
  }, INTERVAL_MS).unref();
  return {
    read() {
      const lag = {
        medianMs: quantile([...earlier, ...lags], 0.5),
        p99Ms: quantile(lags, 0.99),
        maxMs: quantile(lags, 1),
      };
      earlier = lags;
      lags = [];
      return lag;
    },
    stop: () => clearInterval(timer),
  };
}

/** @returns 0 without values */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil((sorted.length - 1) * share)] ?? 0;
}
