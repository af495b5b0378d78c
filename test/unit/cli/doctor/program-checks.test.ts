// Checks of the servers' programs.
import { expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import { programsCheck } from "../../../../cli/doctor/program-checks.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);

test("accepts the servers' programs, or a download unless that is disabled", () => {
  const program = {
    ...{ name: "nats-server", version: "2.15.2", isNeeded: true, path: undefined, problem: undefined },
    mayDownload: true,
  };
  expect(levels(programsCheck.judge([program]))).toEqual(["ok"]);
  expect(levels(programsCheck.judge([{ ...program, mayDownload: false }]))).toEqual(["warning"]);
  expect(levels(programsCheck.judge([{ ...program, problem: "GREENROOM_NATS_SERVER is x" }]))).toEqual([
    "failure",
  ]);
  expect(levels(programsCheck.judge([{ ...program, isNeeded: false }]))).toEqual(["skipped"]);
});
