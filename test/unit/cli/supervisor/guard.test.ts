// A guarded program, which ends when its parent is gone, even after SIGKILL.
import { spawn } from "node:child_process";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { killGroup, spawnGuarded } from "../../../../cli/supervisor/guard.ts";
import { membersOfGroups, processIdentity } from "../../../../cli/supervisor/processes.ts";
import { compiledFile } from "../../../../libs/runtime/compiled.ts";
import { until } from "../../../kit/until.ts";

const guard = pathToFileURL(compiledFile("cli/supervisor/guard.ts")).href;

/** A process that starts a guarded shell script, which prints its pid; and that pid. */
async function startParent(script: string): Promise<{ kill(): void; pid: number }> {
  const code = `
    import { spawnGuarded } from ${JSON.stringify(guard)};
    const child = spawnGuarded("/bin/sh", ["-c", ${JSON.stringify(script)}], { graceMs: 300 });
    child.stdout.pipe(process.stdout);
    setInterval(() => {}, 1000);
  `;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output = await new Promise<string>((resolve) =>
    parent.stdout.once("data", (part) => resolve(`${part}`)),
  );
  return { pid: Number(output), kill: () => parent.kill("SIGKILL") };
}

const isGone = (pid: number) =>
  until(() => membersOfGroups(new Set([pid])).length === 0, { timeoutMs: 5000, what: `${pid} is gone` });

test("ends a guarded program when its parent is killed", async () => {
  const parent = await startParent("echo $$; exec sleep 60");
  expect(processIdentity(parent.pid)).toBeDefined();
  parent.kill();
  await isGone(parent.pid);
});

test("kills a guarded program that ignores SIGTERM after the grace time", async () => {
  const parent = await startParent("trap '' TERM; echo $$; while :; do sleep 0.05; done");
  parent.kill();
  await isGone(parent.pid);
});

test("keeps the program's pid and exit code, and ends its watcher with it", async () => {
  const child = spawnGuarded("/bin/sh", ["-c", "echo $$; exit 7"]);
  let output = "";
  child.stdout!.on("data", (part) => {
    output += part;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(Number(output)).toBe(child.pid);
  expect(code).toBe(7);
  await isGone(child.pid!);
});

test("passes a stop signal to the guarded program itself", async () => {
  const child = spawnGuarded("/bin/sh", [
    "-c",
    "trap 'echo stopping; exit 0' TERM; echo up; while :; do sleep 0.05; done",
  ]);
  let output = "";
  child.stdout!.on("data", (part) => {
    output += part;
    if (output === "up\n") child.kill("SIGTERM");
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect([output, code]).toEqual(["up\nstopping\n", 0]);
});

test("ignores a signal to a group that is gone", async () => {
  const child = spawnGuarded("/bin/sh", ["-c", "exit 0"]);
  await new Promise((resolve) => child.once("close", resolve));
  await isGone(child.pid!);
  expect(() => killGroup(child.pid, "SIGTERM")).not.toThrow();
});
