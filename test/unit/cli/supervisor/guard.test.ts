// A guarded program ends when whoever started it is gone, even by SIGKILL.
import { spawn } from "node:child_process";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { killGroup, spawnGuarded } from "../../../../cli/supervisor/guard.ts";
import { membersOfGroups, processIdentity } from "../../../../cli/supervisor/processes.ts";
import { compiledFile } from "../../../../libs/runtime/compiled.ts";
import { until } from "../../../kit/until.ts";

const guard = pathToFileURL(compiledFile("cli/supervisor/guard.ts")).href;

/** A process that starts a guarded shell script, which says its pid; and that pid. */
async function startStarter(script: string): Promise<{ kill(): void; pid: number }> {
  const code = `
    import { spawnGuarded } from ${JSON.stringify(guard)};
    const child = spawnGuarded("/bin/sh", ["-c", ${JSON.stringify(script)}], { graceMs: 300 });
    child.stdout.pipe(process.stdout);
    setInterval(() => {}, 1000);
  `;
  const starter = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = await new Promise<string>((resolve) =>
    starter.stdout.once("data", (part) => resolve(`${part}`)),
  );
  return { pid: Number(said), kill: () => starter.kill("SIGKILL") };
}

const isGone = (pid: number) =>
  until(() => membersOfGroups(new Set([pid])).length === 0, { timeoutMs: 5000, what: `${pid} is gone` });

test("a guarded program ends when its starter is killed", async () => {
  const starter = await startStarter("echo $$; exec sleep 60");
  expect(processIdentity(starter.pid)).toBeDefined();
  starter.kill();
  await isGone(starter.pid);
});

test("a guarded program that ignores SIGTERM is killed after the grace", async () => {
  const starter = await startStarter("trap '' TERM; echo $$; while :; do sleep 0.05; done");
  starter.kill();
  await isGone(starter.pid);
});

test("a guarded program has its own pid and exit code, and its watcher goes with it", async () => {
  const child = spawnGuarded("/bin/sh", ["-c", "echo $$; exit 7"]);
  let said = "";
  child.stdout!.on("data", (part) => {
    said += part;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(Number(said)).toBe(child.pid);
  expect(code).toBe(7);
  await isGone(child.pid!);
});

test("a guarded program that is asked to stop by a signal gets the signal itself", async () => {
  const child = spawnGuarded("/bin/sh", [
    "-c",
    "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done",
  ]);
  let said = "";
  child.stdout!.on("data", (part) => {
    said += part;
    if (said === "up\n") child.kill("SIGTERM");
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect([said, code]).toEqual(["up\nasked\n", 0]);
});

test("signalling a group that is gone already is no error", async () => {
  const child = spawnGuarded("/bin/sh", ["-c", "exit 0"]);
  await new Promise((resolve) => child.once("close", resolve));
  await isGone(child.pid!);
  expect(() => killGroup(child.pid, "SIGTERM")).not.toThrow();
});
