// Which worlds a commit is tested in besides the fixed ones: others for each commit, and the same for one commit.
import { FIRST_CALLING_SEED, FIRST_CONNECTED_SEED } from "../../simulation/scenario.ts";

export interface SeedRange {
  readonly from: number;
  readonly count: number;
}

/** The seeds of each kind of world that the fixed ranges leave free, and how many of them one commit runs. */
const FREE = [
  { first: 25_500, end: FIRST_CONNECTED_SEED, count: 1500 },
  { first: 44_000, end: FIRST_CALLING_SEED, count: 400 },
  { first: 61_500, end: 1_000_000, count: 300 },
];

/** @param commit its hash, as `git rev-parse HEAD` prints it */
export function seedsOfCommit(commit: string): SeedRange[] {
  const number = Number.parseInt(commit.slice(0, 12), 16);
  if (!Number.isSafeInteger(number)) throw new Error(`"${commit}" is no hash of a commit.`);
  return FREE.map(({ first, end, count }) => ({ from: first + (number % (end - count - first + 1)), count }));
}
