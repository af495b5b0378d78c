// Adding up durations and asking for their percentiles: pure functions on the buckets of a Spread.
import type { Histogram, Latency } from "../../contracts/calls/histogram.ts";

/** Each bucket is so much wider than the one before; the middle of one is within 2 % of all that is in it. */
const GROWTH = 1.04;
const LOG_GROWTH = Math.log(GROWTH);
/** What took longer than some 30 days is in the last one. */
const LAST_BUCKET = 553;

function bucketOf(valueMs: number): number {
  if (!(valueMs >= 1)) return 0;
  return Math.min(LAST_BUCKET, Math.floor(Math.log(valueMs) / LOG_GROWTH) + 1);
}

/** The value that is nearest, by proportion, to both ends of a bucket. */
const middleOf = (bucket: number): number => (bucket === 0 ? 0 : (2 * GROWTH ** bucket) / (GROWTH + 1));

/** Adds durations up in place, cheaply: for what is measured while a call goes on, or read by the thousand. */
export class HistogramBuilder {
  readonly #counts = new Map<number, number>();
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** What isn't a duration, as a negative number that stands for none, isn't counted. */
  add(valueMs: number): void {
    if (!Number.isFinite(valueMs) || valueMs < 0) return;
    const bucket = bucketOf(valueMs);
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
    this.#count += 1;
    // Whole milliseconds add up to the same in whatever order.
    this.#sumMs += Math.round(valueMs);
    this.#maxMs = Math.max(this.#maxMs, Math.round(valueMs));
  }

  addAll(spread: Histogram): void {
    for (let i = 0; i + 1 < spread.buckets.length; i += 2) {
      const bucket = spread.buckets[i] as number;
      this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + (spread.buckets[i + 1] as number));
    }
    this.#count += spread.count;
    this.#sumMs += spread.sumMs;
    this.#maxMs = Math.max(this.#maxMs, spread.maxMs);
  }

  build(): Histogram {
    const buckets = [...this.#counts].sort(([a], [b]) => a - b).flat();
    return { count: this.#count, sumMs: this.#sumMs, maxMs: this.#maxMs, buckets };
  }
}

/** All of them together; undefined when there is none. */
export function mergeHistograms(spreads: readonly (Histogram | undefined)[]): Histogram | undefined {
  const maker = new HistogramBuilder();
  for (const spread of spreads) if (spread !== undefined) maker.addAll(spread);
  return maker.isEmpty ? undefined : maker.build();
}

/** The value below which the share `q` of all lies (nearest rank), at most 2 % off; 0 of none. */
export function quantileOf(spread: Histogram, q: number): number {
  let left = Math.ceil(q * spread.count);
  for (let i = 0; i + 1 < spread.buckets.length; i += 2) {
    left -= spread.buckets[i + 1] as number;
    if (left <= 0) return Math.min(middleOf(spread.buckets[i] as number), spread.maxMs);
  }
  return spread.maxMs;
}

/** In words for people, rounded to a tenth of a millisecond below 10 ms. */
export function latencyOf(spread: Histogram | undefined): Latency | undefined {
  if (spread === undefined || spread.count === 0) return undefined;
  return {
    count: spread.count,
    avgMs: rounded(spread.sumMs / spread.count),
    p50Ms: rounded(quantileOf(spread, 0.5)),
    p95Ms: rounded(quantileOf(spread, 0.95)),
    p99Ms: rounded(quantileOf(spread, 0.99)),
    maxMs: rounded(spread.maxMs),
  };
}

const rounded = (valueMs: number): number =>
  valueMs < 10 ? Math.round(valueMs * 10) / 10 : Math.round(valueMs);
