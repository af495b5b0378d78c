// `npm run chaos -- --minutes 3 --seed 1`: everything real, hurt at random, and held against the invariants.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkEvidence } from "./check-evidence.ts";
import { reportOn, textOf } from "./report.ts";
import { runChaos } from "./run.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    /** How many people use it at once. */
    clients: { type: "string", default: "6" },
    report: { type: "string" },
    /** Also writes all that was seen, which is many megabytes. */
    evidence: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const minutes = Number(values.minutes);
if (!Number.isInteger(seed) || !(minutes > 0)) {
  console.error("Usage: npm run chaos -- --minutes 3 --seed 1 [--clients 6] [--report FILE] [--evidence]");
  process.exit(2);
}

let isStopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // The services end with this process, and so do the servers' guards.
    if (isStopped) process.exit(130);
    isStopped = true;
    console.error("ending early; once more ends at once");
  });
}

// A bug of the run itself, or of a library that it uses: what was started is ended in order all the same.
let bug: unknown;
process.on("uncaughtException", (error) => {
  console.error(error);
  bug ??= error;
  isStopped = true;
});

const result = await runChaos({
  minutes,
  seed,
  clients: Number(values.clients),
  say: (line) => console.error(line),
  isStopped: () => isStopped,
});
const violations = [...result.violations, ...checkEvidence(result.evidence)];
const report = reportOn(result.evidence, violations, minutes, result.troubles);
console.log(textOf(report));
const file = resolve(values.report ?? `chaos-report/seed-${seed}.json`);
await mkdir(dirname(file), { recursive: true });
await writeFile(file, JSON.stringify(report, null, 2));
await writeFile(file.replace(/(\.json)?$/, ".txt"), `${textOf(report)}\n`);
if (values.evidence || violations.length > 0)
  await writeFile(file.replace(/(\.json)?$/, "-evidence.json"), JSON.stringify(result.evidence));
console.log(`\nThe report is in ${file}; again: npm run chaos -- --minutes ${minutes} --seed ${seed}`);
if (bug !== undefined) console.error("The run ended early by a bug of its own, and says nothing.");
process.exit(violations.length === 0 && bug === undefined ? 0 : 1);
