// The lock of a data directory, and the notes on what was started.
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

test("a locked directory is refused with the holder's process id until it is given back", () => {
  const unlock = lockDirectory(directory);
  expect(() => lockDirectory(directory)).toThrow(LockedError);
  expect(() => lockDirectory(directory)).toThrow(`(process ${process.pid})`);
  unlock();
  expect(readdirSync(directory)).toEqual([]);
  lockDirectory(directory)();
});

test("the lock of a dead process is taken over", async () => {
  const child = sleeper();
  lockOf(child.pid, processIdentity(child.pid)!);
  expect(() => lockDirectory(directory)).toThrow(`(process ${child.pid})`);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  const unlock = lockDirectory(directory);
  expect(JSON.parse(readFileSync(lockFile(), "utf8")).pid).toBe(process.pid);
  unlock();
});

test("the lock of a process whose id is another's by now is taken over", () => {
  lockOf(sleeper().pid, "started at another time");
  lockDirectory(directory)();
  expect(existsSync(lockFile())).toBe(false);
});

test("a damaged lock is taken over", () => {
  writeFileSync(lockFile(), '{"pid":');
  lockDirectory(directory)();
  expect(readdirSync(directory)).toEqual([]);
});

test("giving back leaves a lock alone that is somebody else's by now", () => {
  const unlock = lockDirectory(directory);
  lockOf(1, "another");
  unlock();
  expect(JSON.parse(readFileSync(lockFile(), "utf8")).pid).toBe(1);
});

test("a process is told from another with its id by when it started, and a dead one has none", async () => {
  const child = sleeper();
  const identity = processIdentity(child.pid)!;
  expect(isSameProcess(child.pid, identity)).toBe(true);
  expect(isSameProcess(process.pid, identity)).toBe(false);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  expect(processIdentity(child.pid)).toBeUndefined();
});

test("what a former start left is found and ended; another process with its id is not", async () => {
  const files = new PidFiles(join(directory, "run"));
  const [left, other] = [sleeper(), sleeper()];
  files.write("nats", left.pid);
  writeFileSync(
    join(directory, "run", "livekit.json"),
    JSON.stringify({ pid: other.pid, identity: "older" }),
  );
  expect(files.orphans()).toEqual([{ name: "nats", pid: left.pid }]);
  await files.endOrphans(5000);
  expect(processIdentity(left.pid)).toBeUndefined();
  expect(processIdentity(other.pid)).toBeDefined();
  expect(readdirSync(join(directory, "run"))).toEqual([]);
});

test("an orphan that ignores SIGTERM is killed after the grace", async () => {
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
