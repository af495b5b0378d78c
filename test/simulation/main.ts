// `npm run sim`: repeats one seed with all that happened in it, or runs many and names those that fail.
import { parseArgs } from "node:util";
import { runSeed } from "./run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", short: "s" },
    count: { type: "string", short: "n" },
    from: { type: "string", default: "1" },
    "wrong-clocks": { type: "boolean", default: false },
    quiet: { type: "boolean", default: false },
  },
});
const clocks = values["wrong-clocks"] ? { clocks: "wrong" as const } : {};

if (values.seed !== undefined) process.exitCode = await showOne(whole(values.seed, "--seed"));
else process.exitCode = await runMany(whole(values.from, "--from"), whole(values.count ?? "100", "--count"));

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

async function runMany(from: number, count: number): Promise<number> {
  const began = performance.now();
  const failing: number[] = [];
  for (let seed = from; seed < from + count; seed++) {
    const { violations } = await runSeed(seed, clocks);
    if (violations.length === 0) continue;
    failing.push(seed);
    const [first] = violations;
    console.log(`seed ${seed}: ${violations.length} violated, first ${first?.invariant}: ${first?.what}`);
    console.log(`  npm run sim -- --seed ${seed}`);
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${count} seeds from ${from} in ${seconds} s: ${failing.length} failed ${failing.join(" ")}`);
  return failing.length === 0 ? 0 : 1;
}

function whole(text: string, name: string): number {
  const number = Number(text);
  if (Number.isInteger(number)) return number;
  console.error(`${name} takes a whole number, not "${text}".`);
  process.exit(2);
}
