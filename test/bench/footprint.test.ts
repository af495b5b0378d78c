// Runs the footprint benchmark with a short window.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../../libs/runtime/compiled.ts";

describe("bench:footprint", () => {
  test("measures memory, CPU and start-up times of npm start", async () => {
    const json = join(mkdtempSync(join(tmpdir(), "footprint-")), "figures.json");
    const args = ["test/bench/footprint.ts", "--warm-up", "1", "--window", "2", "--json", json];
    const { NODE_ENV: _, VITEST: __, ...env } = process.env;
    const child = spawn(process.execPath, ["--import", "tsx", ...args], {
      cwd: repositoryRoot,
      env,
      stdio: "pipe",
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
    const exitCode = await new Promise((resolve) => child.once("close", resolve));
    expect(exitCode, text).toBe(0);
    const { processes, total, first, second } = JSON.parse(readFileSync(json, "utf8"));
    const names = processes.map(({ name }: { name: string }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["gateway", "control", "agent-host", "agents", "nats-server"]),
    );
    for (const figure of [
      total.pssMb,
      total.cpuPercent,
      ...[first, second].flatMap(({ apiMs, firstAgentMs, allAgentsMs }) => [
        apiMs,
        firstAgentMs,
        allAgentsMs,
      ]),
    ]) {
      expect(Number.isFinite(figure), text).toBe(true);
      expect(figure, text).toBeGreaterThan(0);
    }
  });
});
