// The lock of a data directory, and the files with the pids of started processes.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LockedError, lockDirectory } from "../../../../cli/supervisor/lock.ts";
import { PidFiles } from "../../../../cli/supervisor/pid-files.ts";
import { isSameProcess, processIdentity } from "../../../../cli/supervisor/processes.ts";

let directory: string;
const started: ChildProcess[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "greenroom-lock-"));
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

const sleeper = (): ChildProcess & { pid: number } => {
  const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
  started.push(child);
  return child as ChildProcess & { pid: number };
};
const lockFile = () => join(directory, "lock.json");
const lockOf = (pid: number, identity: string) =>
  writeFileSync(lockFile(), JSON.stringify({ pid, identity }));

test("refuses a locked directory with the holder's pid, until it is unlocked", () => {
  const unlock = lockDirectory(directory);
  expect(() => lockDirectory(directory)).toThrow(LockedError);
  expect(() => lockDirectory(directory)).toThrow(`(process ${process.pid})`);
  unlock();
  expect(readdirSync(directory)).toEqual([]);
  lockDirectory(directory)();
});

test("takes over the lock of a dead process", async () => {
  const child = sleeper();
  lockOf(child.pid, processIdentity(child.pid)!);
  expect(() => lockDirectory(directory)).toThrow(`(process ${child.pid})`);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  const unlock = lockDirectory(directory);
  expect(JSON.parse(readFileSync(lockFile(), "utf8")).pid).toBe(process.pid);
  unlock();
});

test("takes over the lock of a process whose pid another process has", () => {
  lockOf(sleeper().pid, "started at another time");
  lockDirectory(directory)();
  expect(existsSync(lockFile())).toBe(false);
});

test("takes over a corrupt lock", () => {
  writeFileSync(lockFile(), '{"pid":');
  lockDirectory(directory)();
  expect(readdirSync(directory)).toEqual([]);
});

test("keeps a lock that another process holds by then", () => {
  const unlock = lockDirectory(directory);
  lockOf(1, "another");
  unlock();
  expect(JSON.parse(readFileSync(lockFile(), "utf8")).pid).toBe(1);
});

test("distinguishes processes with the same pid by their start, and has no identity for a dead one", async () => {
  const child = sleeper();
  const identity = processIdentity(child.pid)!;
  expect(isSameProcess(child.pid, identity)).toBe(true);
  expect(isSameProcess(process.pid, identity)).toBe(false);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  expect(processIdentity(child.pid)).toBeUndefined();
});

test("finds and ends what a previous start left, but no other process with such a pid", async () => {
  const files = new PidFiles(join(directory, "run"));
  const [orphan, other] = [sleeper(), sleeper()];
  files.write("nats", orphan.pid);
  writeFileSync(
    join(directory, "run", "livekit.json"),
    JSON.stringify({ pid: other.pid, identity: "older" }),
  );
  expect(files.orphans()).toEqual([{ name: "nats", pid: orphan.pid }]);
  await files.endOrphans(5000);
  expect(processIdentity(orphan.pid)).toBeUndefined();
  expect(processIdentity(other.pid)).toBeDefined();
  expect(readdirSync(join(directory, "run"))).toEqual([]);
});

test("kills an orphan that ignores SIGTERM after the grace time", async () => {
  const child = spawn("sh", ["-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  started.push(child);
  await new Promise((resolve) => child.stdout!.once("data", resolve));
  const files = new PidFiles(join(directory, "run"));
  files.write("gateway", child.pid!);
  await files.endOrphans(300);
  expect(processIdentity(child.pid!)).toBeUndefined();
});
