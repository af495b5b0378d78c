// Three minutes of chaos, with a seed that is printed and repeats its choices.
import { spawn } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../../../cli/supervisor/fork-service.ts";

const MINUTES = 3;
/** The same in each run, so that what fails it is a change and not the dice. Others are for `npm run chaos`. */
const seed = Number(process.env.CHAOS_SEED ?? 6);

test(`nothing is lost in ${MINUTES} minutes of faults (seed ${seed})`, async () => {
  const args = ["--import", "tsx", "test/full/chaos/main.ts", "--minutes", `${MINUTES}`, "--seed", `${seed}`];
  const { NODE_ENV: _, ...env } = process.env;
  const child = spawn(process.execPath, args, {
    cwd: repositoryRoot,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  // All that it has started ends with it.
  onTestFinished(() => void child.kill("SIGKILL"));
  let report = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    report += part;
  });
  const exitCode = await new Promise((resolve) => child.once("close", resolve));
  console.log(report);
  expect(exitCode, report).toBe(0);
  expect(report).toContain("No violation.");
  expect(report, "what was forged").toMatch(/^forged: \w+ \d/m);
});
