// Chooses worlds by a commit's hash: always the same for one commit, different ones for other commits.
import { FIRST_CALLING_SEED, FIRST_CANARY_SEED, FIRST_CONNECTED_SEED } from "../../simulation/scenario.ts";

export interface SeedRange {
  readonly from: number;
  readonly count: number;
}

/** The seeds of each kind of world outside the fixed ranges, and the number of them that a commit runs. */
const FREE = [
  { first: 25_500, end: FIRST_CONNECTED_SEED, count: 1500 },
  { first: 44_000, end: FIRST_CALLING_SEED, count: 400 },
  { first: 61_500, end: FIRST_CANARY_SEED, count: 150 },
  { first: 80_500, end: 1_000_000, count: 150 },
];

/** @param commit the full hash that `git rev-parse HEAD` prints */
export function seedsOfCommit(commit: string): SeedRange[] {
  const number = Number.parseInt(commit.slice(0, 12), 16);
  if (!Number.isSafeInteger(number)) throw new Error(`"${commit}" is not the hash of a commit.`);
  return FREE.map(({ first, end, count }) => ({ from: first + (number % (end - count - first + 1)), count }));
}
