// Runs seeds and returns a line for each failure, with the command that repeats it.
import { runSeed } from "./run.ts";
import { commandFor } from "./run-many.ts";
import type { Violation } from "./trace.ts";
import type { WorldOptions } from "./world.ts";

/** @returns one line for each failing seed */
export async function failuresOf(seeds: Iterable<number>, options: WorldOptions = {}): Promise<string[]> {
  const failures: string[] = [];
  for (const seed of seeds) {
    const [first] = (await runSeed(seed, options)).violations;
    if (first !== undefined) failures.push(failureLine(seed, first));
  }
  return failures;
}

export const failureLine = (seed: number, { invariant, what }: Violation): string =>
  `seed ${seed}: invariant ${invariant}: ${what}; repeat it with: ${commandFor(seed)}`;

export const seedsFrom = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);
