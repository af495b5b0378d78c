// What shows that the simulation can see: each bug that is planted into it is found.
import { describe, expect, test } from "vitest";
import { plants } from "./plants.ts";
import { runSeed } from "./run.ts";

/** Within so many worlds, all of which hold without the bug. */
const WORLDS = 100;

describe("the simulation finds that", () => {
  test.each(plants.map((plant) => [plant.name, plant] as const))("%s", async (_name, plant) => {
    const seen = new Set<number | string>();
    for (let seed = 1; seed <= WORLDS; seed++) {
      const { violations } = await runSeed(seed, { plant });
      for (const { invariant } of violations) seen.add(invariant);
      if (plant.breaks.some((invariant) => seen.has(invariant))) break;
    }
    expect(plant.breaks.filter((invariant) => seen.has(invariant))).not.toEqual([]);
  });
});
