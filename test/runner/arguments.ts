// The arguments of `npm test`: its own, and those for vitest.

export interface TestArguments {
  /** Includes the suites that only `npm run test:full` runs. */
  readonly isFull: boolean;
  /** Records the time of each file in test/timings.json. */
  readonly record: boolean;
  readonly showTimings: boolean;
  readonly showHelp: boolean;
  /** The time limit in ms since 1970. Files of `test:full` that would exceed it are left out, those of `npm test` fail. */
  readonly untilMs?: number;
  /** vitest's own arguments: suites for `--project`, patterns and options. Empty: a whole run. */
  readonly vitest: readonly string[];
}

export const usage = `npm test                      a sample of every kind of test
npm run test:full             everything
npm test -- [options] [files or parts of their paths]

  --project NAME              one suite; "test/runner/suites.ts" lists them
  --until=TIME                end in seconds since 1970, e.g. $(($(date +%s) + 3600)). Leaves out files of test:full
                              that would not end in time; the suites of npm test must.
  --record                    records the time of each file in test/timings.json
  --timings                   prints the recorded times, slowest first
  -t PATTERN, …               any option of "npx vitest run --help"
`;

export function readArguments(argv: readonly string[]): TestArguments {
  const own = new Set(["--full", "--record", "--timings"]);
  const until = argv.find((word) => /^--until(=|$)/.test(word))?.slice("--until=".length);
  if (until !== undefined && !/^\d+$/.test(until))
    throw new Error(`--until takes seconds since 1970 (\`date +%s\`), not "${until}".`);
  return {
    isFull: argv.includes("--full"),
    record: argv.includes("--record"),
    showHelp: argv.includes("--help") || argv.includes("-h"),
    showTimings: argv.includes("--timings"),
    ...(until === undefined ? {} : { untilMs: Number(until) * 1000 }),
    vitest: argv.filter((word) => !own.has(word) && !word.startsWith("--until=")),
  };
}
