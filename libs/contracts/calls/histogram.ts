// Histograms of durations, in buckets that grow by 4 %. Histograms of several days can be added.
import { z } from "zod";

/**
 * Many durations, stored compactly.
 *
 * `buckets` lists pairs of bucket number and count, in ascending order. Bucket 0 counts durations below 1 ms,
 * bucket n those from 1.04^(n-1) to 1.04^n ms. Percentiles are at most 2 % off.
 */
export const Histogram = z.object({
  count: z.number().int().nonnegative(),
  sumMs: z.number().nonnegative(),
  maxMs: z.number().nonnegative(),
  buckets: z.array(z.number().int().nonnegative()),
});
export type Histogram = z.infer<typeof Histogram>;

/** A histogram's key figures. Percentiles are at most 2 % off, the rest is exact. */
export const Latency = z.object({
  count: z.number().int().nonnegative(),
  avgMs: z.number(),
  p50Ms: z.number(),
  p95Ms: z.number(),
  p99Ms: z.number(),
  maxMs: z.number(),
});
export type Latency = z.infer<typeof Latency>;
