// Adds up durations in histograms and returns their percentiles. Pure.
import type { Histogram, Latency } from "../../contracts/calls/histogram.ts";

/** The growth from one bucket to the next. The middle of a bucket is within 2 % of every value in it. */
const GROWTH = 1.04;
const LOG_GROWTH = Math.log(GROWTH);
/** The last bucket contains all durations over about 30 days. */
const LAST_BUCKET = 553;

function bucketOf(valueMs: number): number {
  if (!(valueMs >= 1)) return 0;
  return Math.min(LAST_BUCKET, Math.floor(Math.log(valueMs) / LOG_GROWTH) + 1);
}

/** The value with the same relative distance to both ends of a bucket. */
const middleOf = (bucket: number): number => (bucket === 0 ? 0 : (2 * GROWTH ** bucket) / (GROWTH + 1));

/** Adds up durations in place, for values that are measured during a call or read by the thousand. */
export class HistogramBuilder {
  readonly #counts = new Map<number, number>();
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Ignores values that are no duration, such as the negative numbers of some plugins. */
  add(valueMs: number): void {
    if (!Number.isFinite(valueMs) || valueMs < 0) return;
    const bucket = bucketOf(valueMs);
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
    this.#count += 1;
    // Whole milliseconds add up to the same in any order.
    this.#sumMs += Math.round(valueMs);
    this.#maxMs = Math.max(this.#maxMs, Math.round(valueMs));
  }

  addAll(histogram: Histogram): void {
    for (let i = 0; i + 1 < histogram.buckets.length; i += 2) {
      const bucket = histogram.buckets[i] as number;
      this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + (histogram.buckets[i + 1] as number));
    }
    this.#count += histogram.count;
    this.#sumMs += histogram.sumMs;
    this.#maxMs = Math.max(this.#maxMs, histogram.maxMs);
  }

  build(): Histogram {
    const buckets = [...this.#counts].sort(([a], [b]) => a - b).flat();
    return { count: this.#count, sumMs: this.#sumMs, maxMs: this.#maxMs, buckets };
  }
}

/** The sum of all histograms; undefined when there is none. */
export function mergeHistograms(histograms: readonly (Histogram | undefined)[]): Histogram | undefined {
  const builder = new HistogramBuilder();
  for (const histogram of histograms) if (histogram !== undefined) builder.addAll(histogram);
  return builder.isEmpty ? undefined : builder.build();
}

/** The quantile `q` by nearest rank, at most 2 % off; 0 for an empty histogram. */
export function quantileOf(histogram: Histogram, q: number): number {
  let left = Math.ceil(q * histogram.count);
  for (let i = 0; i + 1 < histogram.buckets.length; i += 2) {
    left -= histogram.buckets[i + 1] as number;
    if (left <= 0) return Math.min(middleOf(histogram.buckets[i] as number), histogram.maxMs);
  }
  return histogram.maxMs;
}

/** The figures for people, rounded to a tenth of a millisecond below 10 ms. */
export function latencyOf(histogram: Histogram | undefined): Latency | undefined {
  if (histogram === undefined || histogram.count === 0) return undefined;
  return {
    count: histogram.count,
    avgMs: rounded(histogram.sumMs / histogram.count),
    p50Ms: rounded(quantileOf(histogram, 0.5)),
    p95Ms: rounded(quantileOf(histogram, 0.95)),
    p99Ms: rounded(quantileOf(histogram, 0.99)),
    maxMs: rounded(histogram.maxMs),
  };
}

const rounded = (valueMs: number): number =>
  valueMs < 10 ? Math.round(valueMs * 10) / 10 : Math.round(valueMs);
