// Durations as counts in buckets that grow by 4 %, so that those of several days can be added and still be asked.
import { z } from "zod";

/**
 * Many durations in little space.
 *
 * `buckets` is a list of pairs, bucket and count, in ascending order. Bucket 0 holds what took less than a
 * millisecond, bucket n what took from 1.04^(n-1) to 1.04^n ms. A percentile that is read from it is at most 2 % off.
 */
export const Histogram = z.object({
  count: z.number().int().nonnegative(),
  sumMs: z.number().nonnegative(),
  maxMs: z.number().nonnegative(),
  buckets: z.array(z.number().int().nonnegative()),
});
export type Histogram = z.infer<typeof Histogram>;

/** The same for people. Percentiles are at most 2 % off, the rest is exact. */
export const Latency = z.object({
  count: z.number().int().nonnegative(),
  avgMs: z.number(),
  p50Ms: z.number(),
  p95Ms: z.number(),
  p99Ms: z.number(),
  maxMs: z.number(),
});
export type Latency = z.infer<typeof Latency>;
