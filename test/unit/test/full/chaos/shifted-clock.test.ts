// A process of a chaos run has the wall clock that it is given, and keeps its monotonic one.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createShiftedClocks, type ShiftedClocks } from "../../../../full/chaos/shifted-clock.ts";
import { until } from "../../../../kit/until.ts";

const HOUR_MS = 3_600_000;
const TELL = `
setInterval(() => console.log(JSON.stringify({
  now: Date.now(), made: new Date().getTime(), text: Date.parse(Date()), monotonic: performance.now(),
  fixed: new Date(5).getTime(), isDate: new Date() instanceof Date, iso: new Date(0).toISOString(),
})), 50);`;

interface Told {
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
let last: Told | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "greenroom-clocks-"));
  clocks = createShiftedClocks(dir);
  last = undefined;
  child = spawn(process.execPath, ["-e", TELL], {
    env: { ...process.env, ...clocks.envOf("one") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface({ input: child.stdout! }).on("line", (line) => {
    last = JSON.parse(line) as Told;
  });
});
afterEach(() => {
  child.kill("SIGKILL");
  rmSync(dir, { recursive: true });
});

/** Within minutes, since a loaded machine may take long to say what it is. */
const isAbout = (value: number, shiftMs: number) => Math.abs(value - Date.now() - shiftMs) < 120_000;

const tellsA = (shiftMs: number) =>
  until(() => (last !== undefined && isAbout(last.now, shiftMs) ? last : undefined), {
    timeoutMs: 20_000,
    what: () => `its clock is wrong by ${shiftMs} ms: ${JSON.stringify(last)}`,
  });

test("its clock jumps an hour ahead, an hour back, and is right again", async () => {
  const before = await tellsA(0);
  for (const shiftMs of [HOUR_MS, -HOUR_MS]) {
    clocks.shift("one", shiftMs);
    const told = await tellsA(shiftMs);
    for (const value of [told.now, told.made, told.text]) expect(isAbout(value, shiftMs)).toBe(true);
    expect(told).toMatchObject({ fixed: 5, isDate: true, iso: "1970-01-01T00:00:00.000Z" });
    expect(Math.abs(told.monotonic - before.monotonic)).toBeLessThan(HOUR_MS / 2);
  }
  clocks.heal();
  await tellsA(0);
});

test("the clock of another child stays as it is", async () => {
  await tellsA(0);
  clocks.shift("two", HOUR_MS);
  const since = last;
  await until(() => last !== since && last !== undefined && last.monotonic - since!.monotonic > 600, {
    what: "it had time to look",
    timeoutMs: 20_000,
  });
  await tellsA(0);
});
