// Figures of a process in /proc.
import { expect, test } from "vitest";
import { cpuTimes, threadTimes } from "../../../../../services/agent-host/pool/proc-stat.ts";

test.runIf(process.platform === "linux").each([
  ["the main thread", cpuTimes],
  ["all threads", threadTimes],
])("returns CPU times of %s that only grow", (_, timesOf) => {
  const before = timesOf(process.pid);
  const until = performance.now() + 100;
  while (performance.now() < until);
  const after = timesOf(process.pid);
  expect(before?.waitedMs).toBeGreaterThanOrEqual(0);
  expect(after?.waitedMs).toBeGreaterThanOrEqual(before?.waitedMs ?? Number.POSITIVE_INFINITY);
  expect(after?.ranMs).toBeGreaterThan(before?.ranMs ?? Number.POSITIVE_INFINITY);
});

test("returns undefined for a process that doesn't exist", () => {
  expect(cpuTimes(undefined)).toBeUndefined();
  expect(cpuTimes(2 ** 30)).toBeUndefined();
  expect(threadTimes(undefined)).toBeUndefined();
  expect(threadTimes(2 ** 30)).toBeUndefined();
});
