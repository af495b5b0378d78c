// A process of a chaos run with a shifted wall clock and an intact monotonic clock.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createShiftedClocks, type ShiftedClocks } from "../../../../full/chaos/shifted-clock.ts";
import { until } from "../../../../kit/until.ts";

const HOUR_MS = 3_600_000;
const REPORT = `
setInterval(() => console.log(JSON.stringify({
  now: Date.now(), made: new Date().getTime(), text: Date.parse(Date()), monotonic: performance.now(),
  fixed: new Date(5).getTime(), isDate: new Date() instanceof Date, iso: new Date(0).toISOString(),
})), 50);`;

interface Report {
  readonly now: number;
  readonly made: number;
  readonly text: number;
  readonly monotonic: number;
  readonly fixed: number;
  readonly isDate: boolean;
  readonly iso: string;
}

let dir: string;
let clocks: ShiftedClocks;
let child: ChildProcess;
let last: Report | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "greenroom-clocks-"));
  clocks = createShiftedClocks(dir);
  last = undefined;
  child = spawn(process.execPath, ["-e", REPORT], {
    env: { ...process.env, ...clocks.envOf("one") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface({ input: child.stdout! }).on("line", (line) => {
    last = JSON.parse(line) as Report;
  });
});
afterEach(() => {
  child.kill("SIGKILL");
  rmSync(dir, { recursive: true });
});

/** Within minutes, since a loaded machine may take long to report its time. */
const isAbout = (value: number, shiftMs: number) => Math.abs(value - Date.now() - shiftMs) < 120_000;

const reportsShift = (shiftMs: number) =>
  until(() => (last !== undefined && isAbout(last.now, shiftMs) ? last : undefined), {
    timeoutMs: 20_000,
    what: () => `its clock is wrong by ${shiftMs} ms: ${JSON.stringify(last)}`,
  });

test("shifts a clock an hour ahead, an hour back, and heals it", async () => {
  const before = await reportsShift(0);
  for (const shiftMs of [HOUR_MS, -HOUR_MS]) {
    clocks.shift("one", shiftMs);
    const report = await reportsShift(shiftMs);
    for (const value of [report.now, report.made, report.text]) expect(isAbout(value, shiftMs)).toBe(true);
    expect(report).toMatchObject({ fixed: 5, isDate: true, iso: "1970-01-01T00:00:00.000Z" });
    expect(Math.abs(report.monotonic - before.monotonic)).toBeLessThan(HOUR_MS / 2);
  }
  clocks.heal();
  await reportsShift(0);
});

test("leaves the clock of another child alone", async () => {
  await reportsShift(0);
  clocks.shift("two", HOUR_MS);
  const since = last;
  await until(() => last !== since && last !== undefined && last.monotonic - since!.monotonic > 600, {
    what: "the child had time to notice",
    timeoutMs: 20_000,
  });
  await reportsShift(0);
});
