// The arguments of `npm test`: a few of its own, and vitest's.

export interface Wanted {
  /** Also the suites that only `npm run test:full` runs. */
  readonly isFull: boolean;
  /** Writes how long each file took to test/timings.json. */
  readonly record: boolean;
  readonly showTimings: boolean;
  /** When everything must have ended, in ms since 1970; files that would take longer are left out. */
  readonly untilMs?: number;
  /** Names of suites or patterns, for vitest's `--project`, and all else that vitest takes; empty: a whole run. */
  readonly vitest: readonly string[];
}

export function readArguments(argv: readonly string[]): Wanted {
  const own = new Set(["--full", "--record", "--timings"]);
  const until = argv.find((word) => word.startsWith("--until="))?.slice("--until=".length);
  if (until !== undefined && !/^\d+$/.test(until))
    throw new Error(`--until takes seconds since 1970, as \`date +%s\` prints them, not "${until}".`);
  return {
    isFull: argv.includes("--full"),
    record: argv.includes("--record"),
    showTimings: argv.includes("--timings"),
    ...(until === undefined ? {} : { untilMs: Number(until) * 1000 }),
    vitest: argv.filter((word) => !own.has(word) && !word.startsWith("--until=")),
  };
}
