// Decides which files of a suite still fit into the time that is left.
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

/** A machine that is busy takes so many times what was recorded. */
const SLACK = 1.4;
/** What a suite takes besides its files: vitest's own start, and its servers. */
const START_S = 10;

/** Takes the quickest files first, so that as many as possible run. */
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
