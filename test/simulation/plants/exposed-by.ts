// Finds seeds whose worlds expose a planted bug; `npm run sim -- --plants` records one for each in seeds.json.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { seedsFrom } from "../assert-seeds.ts";
import { runSeed } from "../run.ts";
import { FIRST_CALLING_SEED, FIRST_CONNECTED_SEED, FIRST_SMALL_SEED } from "../scenario.ts";
import type { Plant } from "./plant.ts";
import { plants } from "./plants.ts";

const PATH = fileURLToPath(new URL("seeds.json", import.meta.url));

/** Most bugs are found within ten worlds. The rarest needs a race between a takeover and a write, once in 800 worlds. */
export const searched = {
  small: seedsFrom(FIRST_SMALL_SEED + 1, 400),
  large: seedsFrom(1, 200),
  connected: seedsFrom(FIRST_CONNECTED_SEED, 2000),
  calling: seedsFrom(FIRST_CALLING_SEED, 400),
};

/** The seed known to expose each plant, by the plant's name. */
export const knownSeeds = (): Readonly<Record<string, number>> =>
  JSON.parse(readFileSync(PATH, "utf8")) as Record<string, number>;

/** Whether the world of this seed breaks one of the plant's expected invariants. */
export async function exposes(seed: number, plant: Plant): Promise<boolean> {
  const { violations } = await runSeed(seed, { plant });
  return violations.some(({ invariant }) => plant.breaks.includes(invariant));
}

/** @returns the first seed that exposes the plant; undefined if no searched world does */
export async function findSeed(plant: Plant): Promise<number | undefined> {
  for (const seed of searched[plant.worlds ?? "small"]) if (await exposes(seed, plant)) return seed;
  return undefined;
}

/** Searches a new seed for each plant that its known seed no longer exposes. @returns the plants without a seed */
export async function recordSeeds(print: (line: string) => void): Promise<string[]> {
  const known = knownSeeds();
  const found: Record<string, number> = {};
  const missing: string[] = [];
  for (const plant of plants) {
    const before = known[plant.name];
    const seed = before !== undefined && (await exposes(before, plant)) ? before : await findSeed(plant);
    print(`${seed ?? "no seed"}: ${plant.name}`);
    if (seed === undefined) missing.push(plant.name);
    else found[plant.name] = seed;
  }
  writeFileSync(PATH, `${JSON.stringify(found, null, 2)}\n`);
  return missing;
}
