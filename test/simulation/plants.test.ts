// Shows that the simulation can see: each planted bug is found in the one world known to expose it.
import { describe, expect, test } from "vitest";
import { exposes, knownSeeds } from "./plants/exposed-by.ts";
import { plants } from "./plants/plants.ts";

const seeds = knownSeeds();

describe("the simulation finds that", () => {
  test.each(plants.map((plant) => [plant.name, plant] as const))("%s", async (name, plant) => {
    const seed = seeds[name];
    expect(seed, "no seed is known; `npm run sim -- --plants` searches for one").toBeDefined();
    expect(await exposes(seed!, plant), `seed ${seed} no longer exposes it: npm run sim -- --plants`).toBe(
      true,
    );
  });
});
