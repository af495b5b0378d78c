// Runs seeds and tells those that fail, with the command that repeats each.
import { runSeed } from "./run.ts";
import type { WorldOptions } from "./world.ts";

/** @returns one line for each seed that fails: empty when all hold. */
export async function failuresOf(seeds: Iterable<number>, options: WorldOptions = {}): Promise<string[]> {
  const failures: string[] = [];
  for (const seed of seeds) {
    const { violations } = await runSeed(seed, options);
    const [first] = violations;
    if (first === undefined) continue;
    failures.push(
      `seed ${seed}: invariant ${first.invariant}: ${first.what}; repeat it with: npm run sim -- --seed ${seed}`,
    );
  }
  return failures;
}

export const seedsFrom = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);
