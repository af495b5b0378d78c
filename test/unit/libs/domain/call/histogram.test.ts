// Durations in buckets: percentiles are at most 2 % off, whatever is added up and in whatever order.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Histogram } from "../../../../../libs/contracts/calls/histogram.ts";
import {
  HistogramBuilder,
  latencyOf,
  mergeHistograms,
  quantileOf,
} from "../../../../../libs/domain/call/histogram.ts";

const spreadOf = (values: readonly number[]): Histogram => {
  const maker = new HistogramBuilder();
  for (const value of values) maker.add(value);
  return maker.build();
};

/** By nearest rank, of the values themselves. */
const exact = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.ceil(q * values.length) - 1] as number;

/** From a millisecond to a day, as evenly over the orders of magnitude as durations are. */
const durations = fc.array(
  fc.double({ min: 0, max: Math.log(86_400_000), noNaN: true }).map((log) => Math.exp(log)),
  { minLength: 1, maxLength: 300 },
);
const shares = fc.constantFrom(0.01, 0.5, 0.9, 0.95, 0.99, 1);

test("a percentile is at most 2 % off the exact one", () => {
  fc.assert(
    fc.property(durations, shares, (values, q) => {
      const [found, wanted] = [quantileOf(spreadOf(values), q), exact(values, q)];
      // Of the greatest, whole milliseconds are known.
      expect(Math.abs(found - wanted)).toBeLessThanOrEqual(Math.max(0.02 * wanted, 0.5) + 1e-6);
    }),
  );
});

test("parts that are merged are the same as the whole, in whatever order", () => {
  fc.assert(
    fc.property(fc.array(durations, { minLength: 1, maxLength: 6 }), (parts) => {
      const whole = spreadOf(parts.flat());
      expect(mergeHistograms(parts.map(spreadOf))).toEqual(whole);
      expect(mergeHistograms(parts.map(spreadOf).reverse())).toEqual(whole);
    }),
  );
});

test("percentiles of merged days are those of all their values, and not a mean of the days'", () => {
  const [quiet, busy] = [Array(10).fill(100), Array(990).fill(2000)];
  const both = mergeHistograms([spreadOf(quiet), spreadOf(busy)]) as Histogram;
  expect(quantileOf(both, 0.5)).toBeGreaterThan(1960);
  expect(quantileOf(both, 0.5)).toBeLessThan(2040);
  expect(quantileOf(both, 0.01)).toBeLessThan(102);
});

test("what is no duration is not counted", () => {
  const spread = spreadOf([-1, Number.NaN, Number.POSITIVE_INFINITY, 5]);
  expect(spread).toMatchObject({ count: 1, sumMs: 5, maxMs: 5 });
});

test("nothing has no latency, and less than a millisecond counts as nothing", () => {
  expect(latencyOf(spreadOf([]))).toBeUndefined();
  expect(latencyOf(undefined)).toBeUndefined();
  expect(latencyOf(spreadOf([0.2, 0.3]))).toMatchObject({ count: 2, p50Ms: 0 });
});

test("a latency tells the count, the mean and the greatest exactly", () => {
  expect(latencyOf(spreadOf([100, 200, 600]))).toMatchObject({ count: 3, avgMs: 300, maxMs: 600 });
});
