// Figures of a process in /proc.
import { expect, test } from "vitest";
import { runDelayMs } from "../../../../../services/agent-host/pool/proc-stat.ts";

test.runIf(process.platform === "linux")("returns a run delay that only grows", () => {
  const before = runDelayMs(process.pid);
  const until = performance.now() + 50;
  while (performance.now() < until);
  const after = runDelayMs(process.pid);
  expect(before).toBeGreaterThanOrEqual(0);
  expect(after).toBeGreaterThanOrEqual(before ?? Number.POSITIVE_INFINITY);
});

test("returns undefined for a process that doesn't exist", () => {
  expect(runDelayMs(undefined)).toBeUndefined();
  expect(runDelayMs(2 ** 30)).toBeUndefined();
});
