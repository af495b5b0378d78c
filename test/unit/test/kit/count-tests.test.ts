// The last line of `npm test`.
import { expect, test } from "vitest";
import { countTests, type JsonReport, summaryOf } from "../../../kit/count-tests.ts";

const report: JsonReport = {
  numPassedTests: 3,
  numFailedTests: 1,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [{ status: "failed", assertionResults: [{}, {}, {}, {}] }],
};

test("passed and failed tests are counted, and skipped ones are told on a line of their own, when there are some", () => {
  expect(summaryOf(countTests(report))).toBe("3 passed, 1 failed");
  expect(summaryOf(countTests({ ...report, numPendingTests: 2, numTodoTests: 1 }))).toBe(
    "3 skipped\n3 passed, 1 failed",
  );
});

test("a file that could not be loaded counts as a failure", () => {
  const broken = { status: "failed", assertionResults: [] };
  expect(countTests({ ...report, testResults: [...report.testResults, broken] }).failed).toBe(2);
});
