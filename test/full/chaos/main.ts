// Runs chaos by `npm run chaos -- --minutes 3 --seed 1`: random faults on a real stack, checked against the invariants.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "../../../cli/build.mjs";
import { SHAPES } from "../../../cli/supervisor/local-services.ts";
import { checkEvidence } from "./check-evidence.ts";
import { reportOn, textOf } from "./report.ts";
import { runChaos } from "./run.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    /** `control` or `roles`. By default, even seeds run control, so that both are tried. */
    shape: { type: "string" },
    /** The number of concurrent clients. */
    clients: { type: "string", default: "6" },
    report: { type: "string" },
    /** Also writes the evidence, which is many megabytes. */
    evidence: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const minutes = Number(values.minutes);
const shape = SHAPES.find((known) => known === (values.shape ?? (seed % 2 === 0 ? "control" : "roles")));
if (!Number.isInteger(seed) || !(minutes > 0) || shape === undefined) {
  console.error(
    "Usage: npm run chaos -- --minutes 3 --seed 1 [--shape control|roles] [--clients 6] [--report FILE] [--evidence]",
  );
  process.exit(2);
}

let isStopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // The services and the guards of the servers end with this process.
    if (isStopped) process.exit(130);
    isStopped = true;
    console.error("ending early; a second signal ends at once");
  });
}

// After a bug of the run itself or of a library, everything still ends in order.
let bug: unknown;
process.on("uncaughtException", (error) => {
  console.error(error);
  bug ??= error;
  isStopped = true;
});

await build();
const result = await runChaos({
  minutes,
  seed,
  shape,
  clients: Number(values.clients),
  log: (line) => console.error(line),
  isStopped: () => isStopped,
});
const violations = [...result.violations, ...checkEvidence(result.evidence)];
const report = reportOn(result.evidence, violations, minutes, result.problems);
console.log(textOf(report));
const file = resolve(values.report ?? `chaos-report/seed-${seed}.json`);
await mkdir(dirname(file), { recursive: true });
await writeFile(file, JSON.stringify(report, null, 2));
await writeFile(file.replace(/(\.json)?$/, ".txt"), `${textOf(report)}\n`);
if (values.evidence || violations.length > 0)
  await writeFile(file.replace(/(\.json)?$/, "-evidence.json"), JSON.stringify(result.evidence));
console.log(
  `\nReport: ${file}. To repeat: npm run chaos -- --minutes ${minutes} --seed ${seed} --shape ${shape}`,
);
if (bug !== undefined) console.error("The run ended early by a bug of its own, so its result is invalid.");
process.exit(violations.length === 0 && bug === undefined ? 0 : 1);
