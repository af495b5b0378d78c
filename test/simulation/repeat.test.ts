// Determinism: a seed always gives the same run, whatever the wall clocks show.
import { describe, expect, test } from "vitest";
import { seedsFrom } from "./assert-seeds.ts";
import { runSeed } from "./run.ts";
import { FIRST_CALLING_SEED, FIRST_CONNECTED_SEED } from "./scenario.ts";

/** The suite simulation-full repeats many more. */
const isFull = process.env.SIM_SCOPE === "full";
const REPEATED = isFull ? 20 : 3;
const DIFFERING = isFull ? 20 : 5;
const CLOCKED = isFull ? 80 : 6;

/** Worlds of each kind: of the fleet alone, with the providers service, and also with tasks. */
const someOfEach = (count: number, others: number): number[] => [
  ...seedsFrom(1, count),
  ...seedsFrom(FIRST_CONNECTED_SEED, others),
  ...seedsFrom(FIRST_CALLING_SEED, others),
];

describe("a simulated world", () => {
  test("repeats the same run for the same seed", async () => {
    for (const seed of someOfEach(REPEATED, REPEATED)) {
      const [first, second] = [await runSeed(seed), await runSeed(seed)];
      expect({ seed, digest: second.digest }).toEqual({ seed, digest: first.digest });
    }
  });

  test("gives another run for another seed", async () => {
    const digests = new Set<string>();
    for (const seed of seedsFrom(1, DIFFERING)) digests.add((await runSeed(seed)).digest);
    expect(digests.size).toBe(DIFFERING);
  });

  // Invariant 14: no decision depends on a wall clock, nor on comparing those of two machines.
  test("repeats the same run when wall clocks are an hour off and jump", async () => {
    for (const seed of someOfEach(CLOCKED, CLOCKED)) {
      const right = await runSeed(seed, { clocks: "right" });
      const wrong = await runSeed(seed, { clocks: "wrong" });
      expect({ seed, digest: wrong.digest, violations: wrong.violations }).toEqual({
        seed,
        digest: right.digest,
        violations: [],
      });
    }
  });
});
