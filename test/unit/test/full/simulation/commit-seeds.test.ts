// The simulated worlds of a commit: its own, of every kind, outside of the fixed ranges.
import { describe, expect, test } from "vitest";
import { seedsOfCommit } from "../../../../full/simulation/commit-seeds.ts";

const one = "ed17e1c0ffee5eed000000000000000000000000";
const another = "40d92b10ffee5eed000000000000000000000000";

describe("seedsOfCommit", () => {
  test("returns the same seeds each time", () => {
    expect(seedsOfCommit(one)).toEqual(seedsOfCommit(one));
  });

  test("returns other seeds for another commit, in every kind of world", () => {
    const others = seedsOfCommit(another);
    for (const [index, { from }] of seedsOfCommit(one).entries()) expect(others[index]?.from).not.toBe(from);
  });

  test("avoids the fixed ranges, and stays within one kind of world", () => {
    const kinds = [
      [25_500, 40_000],
      [44_000, 60_000],
      [61_500, 80_000],
      [80_500, 1_000_000],
    ];
    for (const commit of [one, another, "0".repeat(40), "f".repeat(40)]) {
      for (const [index, { from, count }] of seedsOfCommit(commit).entries()) {
        expect(from).toBeGreaterThanOrEqual(kinds[index]![0]!);
        expect(from + count).toBeLessThanOrEqual(kinds[index]![1]!);
      }
    }
  });

  test("requires a hash", () => {
    expect(() => seedsOfCommit("main")).toThrow('"main" is not the hash of a commit.');
  });
});
