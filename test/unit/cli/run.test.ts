// Runs compiled programs, and reads their output and exit codes.
import { spawn } from "node:child_process";
import { describe, expect, test } from "vitest";
import { programs } from "../../../cli/programs.ts";
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
    expect(help.output).toContain("greenroom doctor");
    expect(help.exitCode).toBe(0);
    const wrong = await node(`${repositoryRoot}cli/run.mjs`, "cli/inspect/main.ts");
    expect(wrong.output).toContain("greenroom inspect");
    expect(wrong.exitCode).toBe(2);
  }, 30_000);

  test("names the program to give when there is none", async () => {
    const { exitCode, output } = await node(`${repositoryRoot}cli/run.mjs`);
    expect([exitCode, output]).toEqual([2, expect.stringContaining("Usage: node cli/run.mjs")]);
  }, 30_000);
});

describe("greenroom", () => {
  const greenroom = (...args: string[]) => node(compiledFile("cli/greenroom.ts"), ...args);

  test("lists its commands, and shows the help of each", async () => {
    const help = await greenroom("--help");
    expect(help.exitCode).toBe(0);
    for (const [name] of programs) expect(help.output).toContain(name);
    for (const name of ["dev", "start", "init", "doctor", "inspect", "host-env", "download-files", "host"]) {
      const { exitCode, output } = await greenroom(name, "--help");
      expect([exitCode, output], name).toEqual([0, expect.stringContaining(`greenroom ${name}`)]);
    }
  }, 60_000);

  test.each([
    [["nobody"], "Unknown command nobody"],
    [["inspct"], "Did you mean inspect?"],
    [["gateway", "--port", "1"], "greenroom gateway takes no arguments"],
    [["dev", "--prot", "1"], "Unknown option '--prot'"],
    [["dev", "a", "b"], 'Unexpected argument "b"'],
    [["dev", "--shape", "round"], '--shape takes control or roles, not "round"'],
    [[], "Usage: greenroom <command>"],
  ])(
    "exits with 2 for the arguments %j",
    async (args, message) => {
      expect(await greenroom(...args)).toEqual({ exitCode: 2, output: expect.stringContaining(message) });
    },
    30_000,
  );

  test.each([
    [["dev", "/nowhere"], "The folder /nowhere does not exist"],
    [["init"], "no package.json"],
    [["host-env"], "missing: NATS_URL"],
  ])(
    "exits with 1 for %j in an empty folder",
    async (args, message) => {
      expect(await greenroom(...args)).toEqual({ exitCode: 1, output: expect.stringContaining(message) });
    },
    30_000,
  );
});
