// Worker process: runs the seeds it is sent and reports the results of each chunk.
import { Coverage } from "./checks/coverage.ts";
import { runSeed } from "./run.ts";
import type { Done, Failing, FromWorker, Task } from "./run-many.ts";

const report = (message: FromWorker) => process.send?.(message);
let current = 0;

const onError = (error: unknown) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.send?.({ type: "crashed", seed: current, reason: text } satisfies FromWorker, () =>
    process.exit(1),
  );
};
process.on("uncaughtException", onError);
process.on("unhandledRejection", onError);
process.on("disconnect", () => process.exit(0));

process.on("message", (task: Task) => void run(task));

async function run({ from, count, options }: Task): Promise<void> {
  const failing: Failing[] = [];
  const coverage = new Coverage();
  let virtualMs = 0;
  for (let seed = from; seed < from + count; seed++) {
    current = seed;
    const outcome = await runSeed(seed, options);
    virtualMs += outcome.virtualMs;
    coverage.add(outcome.world.coverage.counts);
    const [first] = outcome.violations;
    if (first !== undefined) failing.push({ seed, violations: outcome.violations.length, first });
  }
  const { user, system } = process.cpuUsage();
  const done: Done = { failing, coverage: [...coverage.counts], virtualMs, cpuMs: (user + system) / 1000 };
  report({ type: "done", ...done });
}
