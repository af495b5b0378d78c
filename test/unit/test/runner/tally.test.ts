// The last line of `npm test`.
import { describe, expect, test } from "vitest";
import { summaryOf, sumOf } from "../../../runner/tally.ts";

describe("summaryOf and sumOf", () => {
  test("counts passed and failed tests", () => {
    expect(summaryOf({ passed: 3, failed: 1, skipped: 0 })).toBe("3 passed, 1 failed");
  });

  test("names skipped tests only when there are some", () => {
    expect(summaryOf({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
  });

  test("adds up every suite", () => {
    const suites = [
      { passed: 3, failed: 0, skipped: 1 },
      { passed: 4, failed: 2, skipped: 0 },
    ];
    expect(sumOf(suites)).toEqual({ passed: 7, failed: 2, skipped: 1 });
  });
});
