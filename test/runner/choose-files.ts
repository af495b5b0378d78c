// Chooses the files of a suite that fit into the remaining time.
import { workersOf } from "./suites.ts";
import { secondsOf, type Timings } from "./timings.ts";

export interface TestFile {
  readonly suite: string;
  readonly file: string;
}

export interface Choice {
  readonly run: readonly TestFile[];
  readonly left: readonly TestFile[];
}

/** A busy machine takes this many times the recorded seconds. */
export const SLACK = 1.4;
/** Seconds that vitest and its servers take to start. */
const START_S = 10;

/** Chooses the quickest files first, so that as many as possible run. */
export function chooseFiles(files: readonly TestFile[], timings: Timings, secondsLeft: number): Choice {
  const costOf = ({ suite, file }: TestFile) => (secondsOf(timings, suite, file) * SLACK) / workersOf(suite);
  const run: TestFile[] = [];
  const left: TestFile[] = [];
  let free = secondsLeft - START_S;
  for (const file of [...files].sort((a, b) => costOf(a) - costOf(b))) {
    const fits = costOf(file) <= free;
    if (fits) free -= costOf(file);
    (fits ? run : left).push(file);
  }
  return { run, left };
}
