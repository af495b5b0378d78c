// What /proc says of a process.
import { expect, test } from "vitest";
import { runDelayMs } from "../../../../../services/agent-host/pool/proc-stat.ts";

test.runIf(process.platform === "linux")(
  "a living process has waited for some time, which only grows",
  () => {
    const before = runDelayMs(process.pid);
    const until = performance.now() + 50;
    while (performance.now() < until);
    const after = runDelayMs(process.pid);
    expect(before).toBeGreaterThanOrEqual(0);
    expect(after).toBeGreaterThanOrEqual(before ?? Number.POSITIVE_INFINITY);
  },
);

test("of a process that isn't there nobody can tell", () => {
  expect(runDelayMs(undefined)).toBeUndefined();
  expect(runDelayMs(2 ** 30)).toBeUndefined();
});
