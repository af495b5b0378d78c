// What shows that the simulation can see: each bug that is planted into it is found, and nothing where none is.
import { describe, expect, test } from "vitest";
import { failuresOf, seedsFrom } from "./assert-seeds.ts";
import { plants } from "./plants/plants.ts";
import { runSeed } from "./run.ts";
import { FIRST_CALLING_SEED, FIRST_CONNECTED_SEED, FIRST_SMALL_SEED } from "./scenario.ts";

/** Each is found within so many worlds; most of them within ten, and the rarest, which takes a race in an election, within 200. */
const WORLDS = {
  small: seedsFrom(FIRST_SMALL_SEED + 1, 400),
  large: seedsFrom(1, 200),
  connected: seedsFrom(FIRST_CONNECTED_SEED, 400),
  calling: seedsFrom(FIRST_CALLING_SEED, 400),
};
const PATIENCE_MS = 15 * 60_000;

test("without a planted bug every one of these worlds holds", { timeout: PATIENCE_MS }, async () => {
  expect(await failuresOf(Object.values(WORLDS).flat())).toEqual([]);
});

describe("the simulation finds that", () => {
  test.each(plants.map((plant) => [plant.name, plant] as const))(
    "%s",
    async (_name, plant) => {
      const seen = new Set<number | string>();
      for (const seed of WORLDS[plant.worlds ?? "small"]) {
        const { violations } = await runSeed(seed, { plant });
        for (const { invariant } of violations) seen.add(invariant);
        if (plant.breaks.some((invariant) => seen.has(invariant))) break;
      }
      expect(plant.breaks.filter((invariant) => seen.has(invariant))).not.toEqual([]);
    },
    PATIENCE_MS,
  );
});
