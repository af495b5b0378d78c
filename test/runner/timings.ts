// The seconds that each test file takes on two idle cores, in the committed test/timings.json.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { FileReport } from "./file-reports.ts";

/** Seconds by suite and file, e.g. `system test/system/starts.test.ts`. */
export type Timings = Readonly<Record<string, number>>;

const PATH = fileURLToPath(new URL("../timings.json", import.meta.url));
/** Assumed for a file that was never recorded. */
const UNKNOWN_S = 60;

const keyOf = (suite: string, file: string): string => `${suite} ${file}`;

export const secondsOf = (timings: Timings, suite: string, file: string): number =>
  timings[keyOf(suite, file)] ?? UNKNOWN_S;

export const readTimings = (): Timings => JSON.parse(readFileSync(PATH, "utf8")) as Timings;

/** Records the timings of files that passed, and keeps the others. */
export function recordTimings(reports: readonly FileReport[]): void {
  writeFileSync(PATH, `${JSON.stringify(recorded(readTimings(), reports), null, 2)}\n`);
}

/** Sorted by key, so that a new recording changes only the lines whose seconds have changed. */
function recorded(timings: Timings, reports: readonly FileReport[]): Timings {
  const ran = reports
    .filter(({ failed }) => failed === 0)
    .map(({ suite, file, seconds }) => [keyOf(suite, file), Math.round(seconds * 10) / 10] as const);
  const all = Object.entries({ ...timings, ...Object.fromEntries(ran) });
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Formats the sum of each suite, then one line for each file, the slowest first. */
export function timingLines(timings: Timings): string[] {
  const files = Object.entries(timings).sort(([, a], [, b]) => b - a);
  const suites = new Map<string, number>();
  for (const [key, seconds] of files) {
    const suite = key.slice(0, key.indexOf(" "));
    suites.set(suite, (suites.get(suite) ?? 0) + seconds);
  }
  const lineOf = ([name, seconds]: readonly [string, number]) =>
    `${seconds.toFixed(1).padStart(8)} s  ${name}`;
  const sums = [...suites].sort(([, a], [, b]) => b - a).map(lineOf);
  return [...sums, "", ...files.map(lineOf)];
}
