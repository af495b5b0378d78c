// Three minutes of chaos, each time with another seed, which is printed and repeats them.
import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { repositoryRoot } from "../../deploy/fork-service.ts";

const MINUTES = 3;
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));

test(`nothing is lost in ${MINUTES} minutes of faults (seed ${seed})`, async () => {
  const args = ["--import", "tsx", "test/chaos/main.ts", "--minutes", `${MINUTES}`, "--seed", `${seed}`];
  const child = spawn(process.execPath, args, { cwd: repositoryRoot, stdio: ["ignore", "pipe", "inherit"] });
  let report = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    report += part;
  });
  const exitCode = await new Promise((resolve) => child.once("close", resolve));
  console.log(report);
  expect(exitCode, report).toBe(0);
  expect(report).toContain("No violation.");
});
