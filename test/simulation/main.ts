// `npm run sim`: repeats one seed with its trace, runs many and prints the failures, or finds a seed for each planted bug.
import { parseArgs } from "node:util";
import { recordSeeds } from "./plants/exposed-by.ts";
import { runSeed } from "./run.ts";
import { commandFor, runMany } from "./run-many.ts";

const usage = `npm run sim -- [options]

  --seed N, -s N        runs one world and prints its trace
  --quiet               prints no trace
  --from N --count N    runs N worlds (default: 100 from 1) and prints the failing seeds
  --workers N           number of parallel processes
  --wrong-clocks        gives each machine a wrong clock
  --coverage            prints what the worlds covered
  --plants              finds a seed for each planted bug and records it
`;

const { values } = parseArgs({
  options: {
    seed: { type: "string", short: "s" },
    count: { type: "string", short: "n" },
    from: { type: "string", default: "1" },
    workers: { type: "string" },
    "wrong-clocks": { type: "boolean", default: false },
    quiet: { type: "boolean", default: false },
    coverage: { type: "boolean", default: false },
    plants: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
const clocks = values["wrong-clocks"] ? { clocks: "wrong" as const } : {};

if (values.help) console.log(usage);
else if (values.plants) process.exitCode = await showPlants();
else if (values.seed !== undefined) process.exitCode = await showOne(whole(values.seed, "--seed"));
else process.exitCode = await showMany(whole(values.from, "--from"), whole(values.count ?? "100", "--count"));

async function showPlants(): Promise<number> {
  const missing = await recordSeeds((line) => console.log(line));
  for (const name of missing) console.error(`no world exposes the planted bug: ${name}`);
  return missing.length === 0 ? 0 : 1;
}

async function showOne(seed: number): Promise<number> {
  const outcome = await runSeed(seed, { keepTrace: !values.quiet, ...clocks });
  console.log(`scenario ${JSON.stringify(outcome.world.scenario)}\n`);
  if (!values.quiet) console.log(`${outcome.lines.join("\n")}\n`);
  for (const line of outcome.sessions) console.log(line);
  for (const { invariant, what, atMs } of outcome.violations)
    console.log(`\nviolated: ${invariant} at ${atMs.toFixed(0)} ms: ${what}`);
  const seconds = (outcome.virtualMs / 1000).toFixed(0);
  console.log(`\nseed ${seed}: ${seconds} s of virtual time, trace ${outcome.digest.slice(0, 16)}`);
  return outcome.violations.length === 0 ? 0 : 1;
}

async function showMany(from: number, count: number): Promise<number> {
  const startedAt = performance.now();
  const workers = values.workers === undefined ? {} : { workers: whole(values.workers, "--workers") };
  const { failing, coverage, virtualMs, cpuMs } = await runMany({
    from,
    count,
    options: clocks,
    ...workers,
    onFailing: ({ seed, violations, first }) => {
      console.log(
        `seed ${seed}: ${violations} violations, the first of invariant ${first.invariant}: ${first.what}`,
      );
      console.log(`  ${commandFor(seed)}`);
    },
  });
  if (values.coverage) console.log(`${coverage.lines().join("\n")}\n`);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const cost = `${(cpuMs / count).toFixed(0)} ms of a core and ${(virtualMs / count / 1000).toFixed(0)} s of virtual time each`;
  const seeds = failing.map(({ seed }) => seed).join(" ");
  console.log(`${count} seeds from ${from} in ${seconds} s, ${cost}: ${failing.length} failed ${seeds}`);
  return failing.length === 0 ? 0 : 1;
}

function whole(text: string, name: string): number {
  const number = Number(text);
  if (Number.isInteger(number)) return number;
  console.error(`${name} takes a whole number, not "${text}".`);
  process.exit(2);
}
