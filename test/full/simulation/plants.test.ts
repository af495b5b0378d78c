// Searches many worlds for each planted bug, after the same worlds have passed without one.
import { describe, expect, test } from "vitest";
import { failuresOf } from "../../simulation/assert-seeds.ts";
import { findSeed, searched } from "../../simulation/plants/exposed-by.ts";
import { plants } from "../../simulation/plants/plants.ts";

const TIMEOUT_MS = 15 * 60_000;

describe("simulation", () => {
  test("holds every invariant in the searched worlds without a planted bug", {
    timeout: TIMEOUT_MS,
  }, async () => {
    expect(await failuresOf(Object.values(searched).flat())).toEqual([]);
  });

  test.each(plants.map((plant) => [plant.name, plant] as const))(
    "finds the planted bug: %s",
    async (_name, plant) => {
      expect(await findSeed(plant)).toBeDefined();
    },
    TIMEOUT_MS,
  );
});
