// Prometheus metrics of one process.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type Lag, type LagMeter, startLagMeter } from "./event-loop-lag.ts";

type Labels = Readonly<Record<string, string | number>>;

/**
 * Metrics by name. Names begin with greenroom_, except where a metric means the same as LiveKit's own. Declaring a name
 * twice returns the same metric.
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): (labels?: Labels, by?: number) => void;
  /** @param seconds upper bounds of the buckets */
  histogram(
    name: string,
    help: string,
    labels?: readonly string[],
    seconds?: readonly number[],
  ): (seconds: number, labels?: Labels) => void;
  /**
   * @param collect sets all values at each scrape; a value that it does not set disappears. Values of several
   *   collectors are added
   * @returns a function that removes the collector
   */
  gauge(
    name: string,
    help: string,
    labels: readonly string[],
    collect: (set: (value: number, labels?: Labels) => void) => void | Promise<void>,
  ): () => void;
  /** All metrics in Prometheus's text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Maximum number of values of a label. Customers choose these values; further ones count as "other". */
const CAPPED: Readonly<Record<string, number>> = { profile: 50, tenant: 50 };

/** From the few milliseconds of a hot agent to the longest ringing of a phone call. */
const DEFAULT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Collect = Parameters<Metrics["gauge"]>[3];

const UP = ["greenroom_up", "1 for each service that runs in this process.", ["service"]] as const;

export function createMetrics(service: string): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: NEVER_MS });
  for (const name of LAG_METRICS) register.removeSingleMetric(name);
  const metrics = metricsIn(register);
  metrics.gauge(...UP, (set) => set(1, { service }));
  return measuringLag(metrics);
}

/** The longest interval of a timer. */
const NEVER_MS = 2 ** 31 - 1;
/** Their timer would wake every process 100 times a second, whether or not somebody reads them. */
const LAG_METRICS = ["min", "max", "mean", "stddev", "p50", "p90", "p99"].map(
  (which) => `nodejs_eventloop_lag_${which}_seconds`,
);

/** Measures from the first scrape on. */
function measuringLag(metrics: Metrics): Metrics {
  let meter: LagMeter | undefined;
  let lag: Lag | undefined;
  const gauge = (name: string, help: string, of: (lag: Lag) => number) =>
    metrics.gauge(`nodejs_eventloop_lag_${name}_seconds`, `${help} since the previous scrape.`, [], (set) => {
      set(lag === undefined ? 0 : of(lag) / 1000);
    });
  gauge("p50", "Median event loop lag", ({ medianMs }) => medianMs);
  gauge("p99", "99th percentile of the event loop lag", ({ p99Ms }) => p99Ms);
  gauge("max", "Longest event loop lag", ({ maxMs }) => maxMs);
  return {
    ...metrics,
    text() {
      meter ??= startLagMeter();
      lag = meter.read();
      return metrics.text();
    },
  };
}

function metricsIn(register: Registry): Metrics {
  const within = capped();
  const collectors = new Map<string, Set<Collect>>();
  const once = <M>(name: string, make: () => M): M =>
    (register.getSingleMetric(name) as M | undefined) ?? make();
  return {
    counter(name, help, labels = []) {
      const options = { name, help, labelNames: [...labels], registers: [register] };
      const counter = once(name, () => new Counter(options));
      return (values = {}, by = 1) => counter.inc(within(values), by);
    },
    histogram(name, help, labels = [], seconds = DEFAULT_SECONDS) {
      const options = { name, help, labelNames: [...labels], buckets: [...seconds], registers: [register] };
      const histogram = once(name, () => new Histogram(options));
      return (value, values = {}) => histogram.observe(within(values), value);
    },
    gauge(name, help, labels, collect) {
      const all = collectors.get(name) ?? new Set();
      collectors.set(name, all);
      all.add(collect);
      const options = { name, help, labelNames: [...labels], registers: [register] };
      once(
        name,
        () =>
          new Gauge({
            ...options,
            async collect() {
              this.reset();
              // Adds, because several values may fall under "other".
              const set = (value: number, values: Labels = {}) => this.inc(within(values), value);
              for (const each of [...all]) await each(set);
            },
          }),
      );
      return () => void all.delete(collect);
    },
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

/** Metrics of a part of a process. Closing the part removes its gauges. */
export function scopedMetrics(metrics: Metrics): { readonly metrics: Metrics; close(): void } {
  const removals: (() => void)[] = [];
  return {
    metrics: {
      ...metrics,
      gauge(...gauge) {
        const remove = metrics.gauge(...gauge);
        removals.push(remove);
        return remove;
      },
    },
    close() {
      for (const remove of removals.splice(0)) remove();
    },
  };
}

/** Limits the number of time series, whatever names customers choose. */
function capped(): (labels: Labels) => Record<string, string | number> {
  const known = new Map<string, Set<string>>();
  const cap = (label: string, value: string): string => {
    const max = CAPPED[label];
    if (max === undefined) return value;
    const seen = known.get(label) ?? new Set<string>();
    known.set(label, seen);
    if (seen.size < max) seen.add(value);
    return seen.has(value) ? value : "other";
  };
  return (labels) =>
    Object.fromEntries(Object.entries(labels).map(([label, value]) => [label, cap(label, String(value))]));
}
