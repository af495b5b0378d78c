// The check of clocks.
import { expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import { clocksCheck } from "../../../../cli/doctor/clock-check.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);

test("requires a clock that accepts the tokens, with a tolerance for rounding", () => {
  const off = (aheadMs: number, errorMs = 10) =>
    levels(clocksCheck.judge([{ who: "LiveKit", aheadMs, errorMs }]));
  expect(off(400)).toEqual(["ok"]);
  expect(off(-30_000)).toEqual(["warning"]);
  expect(off(90_000)).toEqual(["failure"]);
  expect(off(90_000, 89_000)).toEqual(["ok"]);
  expect(levels(clocksCheck.judge([{ who: "NATS", aheadMs: 90_000, errorMs: 1 }]))).toEqual(["warning"]);
});
