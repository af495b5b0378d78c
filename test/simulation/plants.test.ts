// Sensitivity of the simulation: each planted bug is found in a world that is known to expose it.
import { describe, expect, test } from "vitest";
import { exposes, knownSeeds } from "./plants/exposed-by.ts";
import { plants } from "./plants/plants.ts";

const seeds = knownSeeds();

describe("simulation", () => {
  test.each(plants.map((plant) => [plant.name, plant] as const))(
    "finds the planted bug: %s",
    async (name, plant) => {
      const seed = seeds[name];
      expect(seed, "no known seed; search for one with: npm run sim -- --plants").toBeDefined();
      expect(
        await exposes(seed!, plant),
        `seed ${seed} no longer exposes it; search for another with: npm run sim -- --plants`,
      ).toBe(true);
    },
  );
});
