// Runs every benchmark and load command for a few seconds to keep it working. Times are not asserted.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../../libs/runtime/compiled.ts";

interface Output {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe("bench commands", () => {
  test("prints a row for each kind of start and the memory of one agent: bench:start", async () => {
    const { exitCode, stdout, stderr } = await run("bench:start", "--rounds", "1", "--starts", "2");
    expect(exitCode, stderr).toBe(0);
    expect(figuresOf(stdout, "hot, one at a time"), stdout).toHaveLength(3);
    expect(figuresOf(stdout, "warm, one at a time"), stdout).toHaveLength(3);
    expect(figuresOf(stdout, "warm, burst of 20"), stdout).toHaveLength(3);
    expect(stdout).toMatch(/each additional warm agent: -?\d+\.\d MB/);
  });

  test("measures a killed agent process and a drain: bench:failover", async () => {
    const args = ["--rounds", "1", "--faults", "process-killed,drain"];
    const { exitCode, stdout, stderr } = await run("bench:failover", ...args);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toMatch(/kill -9 of the agent's process +\d/);
    expect(stdout).toMatch(/drain of its host.* +\d/);
  });

  test("measures the greeting beside LiveKit's own worker: bench:greeting", async () => {
    const { exitCode, stdout, stderr } = await run("bench:greeting", "--rounds", "1", "--calls", "1");
    expect(exitCode, stderr).toBe(0);
    for (const way of [
      "Greenroom: the session starts at",
      "Greenroom: the session starts with",
      "LiveKit's own worker",
    ])
      expect(figuresOf(stdout, way), stdout).toHaveLength(2);
  });

  test("tries the agent files of a folder: compatibility", async () => {
    const files = ["test/agents/stock", "--only", "by-name,lacking"];
    const { exitCode, stdout, stderr } = await run("compatibility", ...files);
    expect(exitCode, stderr).toBe(0);
    expect(stdout, stderr).toMatch(/^\| by-name \| yes \| yes \| yes \| yes \| completed \|/m);
    expect(stdout).toMatch(/^\| lacking \| no \|.*a-package-that-nobody-has is missing/m);
    expect(stdout).toContain("2 agent files, 1 ready");
  });

  test("measures every isolation: bench:isolation", async () => {
    const { exitCode, stdout, stderr } = await run("bench:isolation", "--rounds", "1", "--starts", "1");
    expect(exitCode, stderr).toBe(0);
    for (const isolation of ["process", "module", "shared"])
      expect(stdout).toMatch(new RegExp(`^${isolation} +\\d+ +\\d+ +\\d`, "m"));
  });

  test("measures pages, lists and purges: bench:store", async () => {
    const args = ["--calls", "4000", "--keys", "200", "--days", "10", "--looks", "3"];
    const { exitCode, stdout, stderr } = await run("bench:store", ...args);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toMatch(/first page of all days of a tenant +\d/);
    expect(stdout).toMatch(/purge of a tenant +\d/);
  });

  test("measures lists, figures and exports: bench:calls", async () => {
    const args = ["--calls", "3000", "--days", "20", "--rounds", "2", "--export", "3"];
    const { exitCode, stdout, stderr } = await run("bench:calls", ...args);
    expect(stdout, stderr).toMatch(/export as csv: 451 lines/);
    // A busy machine may miss a target in two rounds; anything else is a failure.
    if (exitCode !== 0) expect(stderr).toContain("Missed targets");
  });

  test("offers twice a given rate and judges the outcome: overload", async () => {
    const { exitCode, stdout, stderr } = await run("overload", "--rate", "2", "--seconds", "3");
    expect(exitCode, stdout + stderr).toBe(0);
    expect(stdout).toContain("Twice that rate, 4.0/s for 3 s");
  });

  test("samples every process while no call fails: soak", async () => {
    const out = mkdtempSync(join(tmpdir(), "soak-"));
    const short = ["--minutes", "0.25", "--keep", "70", "--warm-up", "5", "--sample", "1"];
    const { stderr } = await run("soak", ...short, "--every", "1", "--lasts", "2", "--out", out);
    const { trends, failures } = JSON.parse(readFileSync(join(out, "soak.json"), "utf8"));
    expect(failures, stderr).toEqual([]);
    expect(trends.length, stderr).toBeGreaterThan(10);
  });

  test("injects faults and finds no violation: chaos", async () => {
    const report = join(mkdtempSync(join(tmpdir(), "chaos-")), "report.json");
    const args = ["--minutes", "0.2", "--seed", "1", "--clients", "2", "--report", report];
    const { exitCode, stdout, stderr } = await run("chaos", ...args);
    expect(exitCode, stdout + stderr).toBe(0);
    expect(stdout).toContain("No violation.");
  });
});

/** Runs an npm script with arguments, and kills it at the end of the test. */
async function run(script: string, ...args: string[]): Promise<Output> {
  const { scripts } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8"));
  const { NODE_ENV: _, VITEST: __, ...env } = process.env;
  const [program = "", ...words] = (scripts[script] as string).split(" ");
  const child = spawn(program, [...words, ...args], {
    cwd: repositoryRoot,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (part: string) => {
      output[name] += part;
    });
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { exitCode, ...output };
}

/** The numbers in the row of a table: each cell is a median with its range in brackets. */
function figuresOf(table: string, name: string): number[] {
  const row = table.split("\n").find((line) => line.startsWith(name)) ?? "";
  return [...row.matchAll(/(\d[\d.]*) \(/g)].map(([, median]) => Number(median));
}
