// Histograms of durations: percentiles are at most 2 % off, however histograms are merged.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Histogram } from "../../../../../libs/contracts/calls/histogram.ts";
import {
  HistogramBuilder,
  latencyOf,
  mergeHistograms,
  quantileOf,
} from "../../../../../libs/domain/call/histogram.ts";

const histogramOf = (values: readonly number[]): Histogram => {
  const builder = new HistogramBuilder();
  for (const value of values) builder.add(value);
  return builder.build();
};

/** The exact percentile, by nearest rank. */
const exact = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.ceil(q * values.length) - 1] as number;

/** From a millisecond to a day, spread over the orders of magnitude like real durations. */
const durations = fc.array(
  fc.double({ min: 0, max: Math.log(86_400_000), noNaN: true }).map((log) => Math.exp(log)),
  { minLength: 1, maxLength: 300 },
);
const shares = fc.constantFrom(0.01, 0.5, 0.9, 0.95, 0.99, 1);

test("estimates a percentile within 2 %", () => {
  fc.assert(
    fc.property(durations, shares, (values, q) => {
      const [found, expected] = [quantileOf(histogramOf(values), q), exact(values, q)];
      // The maximum is known in whole milliseconds.
      expect(Math.abs(found - expected)).toBeLessThanOrEqual(Math.max(0.02 * expected, 0.5) + 1e-6);
    }),
  );
});

test("merges parts to the histogram of the whole, in any order", () => {
  fc.assert(
    fc.property(fc.array(durations, { minLength: 1, maxLength: 6 }), (parts) => {
      const whole = histogramOf(parts.flat());
      expect(mergeHistograms(parts.map(histogramOf))).toEqual(whole);
      expect(mergeHistograms(parts.map(histogramOf).reverse())).toEqual(whole);
    }),
  );
});

test("has percentiles of all merged values, not a mean of percentiles", () => {
  const [quiet, busy] = [Array(10).fill(100), Array(990).fill(2000)];
  const both = mergeHistograms([histogramOf(quiet), histogramOf(busy)]) as Histogram;
  expect(quantileOf(both, 0.5)).toBeGreaterThan(1960);
  expect(quantileOf(both, 0.5)).toBeLessThan(2040);
  expect(quantileOf(both, 0.01)).toBeLessThan(102);
});

test("ignores values that are no durations", () => {
  const histogram = histogramOf([-1, Number.NaN, Number.POSITIVE_INFINITY, 5]);
  expect(histogram).toMatchObject({ count: 1, sumMs: 5, maxMs: 5 });
});

test("has no latency without values, and rounds below a millisecond to zero", () => {
  expect(latencyOf(histogramOf([]))).toBeUndefined();
  expect(latencyOf(undefined)).toBeUndefined();
  expect(latencyOf(histogramOf([0.2, 0.3]))).toMatchObject({ count: 2, p50Ms: 0 });
});

test("reports count, mean and maximum exactly", () => {
  expect(latencyOf(histogramOf([100, 200, 600]))).toMatchObject({ count: 3, avgMs: 300, maxMs: 600 });
});
