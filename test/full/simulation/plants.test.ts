// Searches many worlds for each planted bug, and finds nothing in those worlds without one.
import { describe, expect, test } from "vitest";
import { failuresOf } from "../../simulation/assert-seeds.ts";
import { findSeed, searched } from "../../simulation/plants/exposed-by.ts";
import { plants } from "../../simulation/plants/plants.ts";

const PATIENCE_MS = 15 * 60_000;

test("without a planted bug every one of these worlds holds", { timeout: PATIENCE_MS }, async () => {
  expect(await failuresOf(Object.values(searched).flat())).toEqual([]);
});

describe("the simulation finds that", () => {
  test.each(plants.map((plant) => [plant.name, plant] as const))(
    "%s",
    async (_name, plant) => {
      expect(await findSeed(plant)).toBeDefined();
    },
    PATIENCE_MS,
  );
});
