// The doctor's output for people and as JSON.
import { describe, expect, test } from "vitest";
import { failure, ok, warning } from "../../../../cli/doctor/check.ts";
import { jsonOf, resultText, summaryOf } from "../../../../cli/doctor/print.ts";
import type { CheckResult } from "../../../../cli/doctor/run-checks.ts";

describe("the doctor's output", () => {
  const results: CheckResult[] = [
    { name: "a", title: "A", level: "ok", findings: [ok("Well.")], tookMs: 1 },
    { name: "b", title: "B", level: "failure", findings: [failure("Broken.", "Mend it.")], tookMs: 1 },
  ];

  test("has one line for each check, with what to do below, and colors on demand", () => {
    expect(resultText(results[1]!, false)).toBe("FAILURE  B: Broken.\n         → Mend it.");
    expect(resultText(results[1]!, true)).toContain("\u001b[31m");
  });

  test("summarizes failures and warnings, also as JSON", () => {
    expect(summaryOf(results)).toBe("1 failure.");
    expect(summaryOf(results.slice(0, 1))).toBe("All checks passed.");
    const odd = { ...results[0]!, level: "warning" as const, findings: [warning("Odd.", "Look.")] };
    expect(summaryOf([odd, odd])).toBe("No failures, 2 warnings.");
    expect(JSON.parse(jsonOf(results))).toMatchObject({ ok: false, summary: "1 failure." });
    expect(JSON.parse(jsonOf([odd]))).toMatchObject({ ok: true });
  });
});
