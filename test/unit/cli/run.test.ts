// Runs compiled programs, and reads their output and exit codes.
import { spawn } from "node:child_process";
import { describe, expect, test } from "vitest";
import { repositoryRoot } from "../../../libs/runtime/compiled.ts";

/** Runs node with arguments, in another folder than the repository. */
async function node(...args: string[]): Promise<{ exitCode: number | null; output: string }> {
  const child = spawn(process.execPath, args, { cwd: "/", env: { PATH: process.env.PATH } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (output += part));
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { exitCode, output };
}

describe("run.mjs", () => {
  test("runs a program with its arguments and its exit code", async () => {
    const help = await node(`${repositoryRoot}cli/run.mjs`, "cli/doctor/main.ts", "--help");
    expect(help.output).toContain("npm run doctor");
    expect(help.exitCode).toBe(0);
    const wrong = await node(`${repositoryRoot}cli/run.mjs`, "cli/inspect/main.ts");
    expect(wrong.output).toContain("npm run inspect");
    expect(wrong.exitCode).toBe(2);
  }, 30_000);

  test("names the program to give when there is none", async () => {
    const { exitCode, output } = await node(`${repositoryRoot}cli/run.mjs`);
    expect([exitCode, output]).toEqual([2, expect.stringContaining("Usage: node cli/run.mjs")]);
  }, 30_000);
});
