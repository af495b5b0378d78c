// Runs compiled programs, and reads their output and exit codes.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { compiledFile, repositoryRoot } from "../../../libs/runtime/compiled.ts";

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

describe("mapStackTraces", () => {
  test("names the TypeScript line of a frame in compiled code", async () => {
    const urlOf = (source: string) => JSON.stringify(pathToFileURL(compiledFile(source)).href);
    const { output } = await node(
      "--input-type=module",
      "--eval",
      `
      const { mapStackTraces } = await import(${urlOf("libs/runtime/stack-traces.ts")});
      mapStackTraces();
      const { readConfig } = await import(${urlOf("libs/runtime/config.ts")});
      try { readConfig({}, {}, null); } catch (error) { console.log(error.stack); }
      `,
    );
    const lines = readFileSync(`${repositoryRoot}libs/runtime/config.ts`, "utf8").split("\n");
    const line = 1 + lines.findIndex((text) => text.includes("[...known,"));
    const source = pathToFileURL(`${repositoryRoot}libs/runtime/config.ts`).href;
    expect(output).toContain("TypeError: known is not iterable");
    expect(output).toContain(`at readConfig (${source}:${line}:`);
  }, 30_000);
});
