// The doctor's output for people and as JSON.
import { describe, expect, test } from "vitest";
import { type Finding, failure, note, ok, warning } from "../../../../cli/doctor/check.ts";
import { NOTHING_RUNS } from "../../../../cli/doctor/fleet-checks.ts";
import { exitCodeOf, jsonOf, reportText, verdictOf } from "../../../../cli/doctor/print.ts";
import type { CheckResult } from "../../../../cli/doctor/run-checks.ts";

describe("the doctor's output", () => {
  const result = (title: string, ...findings: Finding[]): CheckResult => ({
    ...{ name: title, title, level: findings[0]!.level, findings, tookMs: 1 },
  });
  const good = result("A", ok("Well."));
  const bad = result("B", failure("Broken.", "Mend it."));
  const odd = result("C", warning("Odd.", "Look."));
  const plain = { hasColor: false, showsNotes: false };

  test("begins with the verdict, continues with the problems, and has colors on demand", () => {
    expect(reportText([good, odd, bad], plain).split("\n")).toEqual([
      "Greenroom has a problem. Broken. (1 failure, 1 warning)",
      "",
      "FAILURE  B: Broken.",
      "         → Mend it.",
      "warning  C: Odd.",
      "         → Look.",
      "ok       A: Well.",
    ]);
    expect(reportText([bad], { ...plain, hasColor: true })).toContain("\u001b[31m");
  });

  test("folds notes about what nobody uses unless they are wanted", () => {
    const unused = result("D", note("E is disabled."), note("F is disabled."));
    expect(reportText([good, unused], plain)).toContain("2 notes about what nobody uses (D)");
    expect(reportText([good, unused], plain)).not.toContain("E is disabled");
    expect(reportText([unused], { ...plain, showsNotes: true })).toContain("note     D: F is disabled.");
  });

  test("has an exit code for failures, and one for a Greenroom that is not running", () => {
    const idle = result("services", failure(NOTHING_RUNS, "Start it."));
    expect([[good, odd], [good, bad], [idle], [idle, bad]].map(exitCodeOf)).toEqual([0, 1, 3, 1]);
    expect(verdictOf([good, odd])).toBe("Greenroom works. No failures, 1 warning.");
    expect(verdictOf([idle, good])).toBe("Greenroom is not running. Nothing else fails.");
  });

  test("contains verdict and exit code in JSON", () => {
    expect(JSON.parse(jsonOf([bad]))).toMatchObject({ ok: false, exitCode: 1, verdict: verdictOf([bad]) });
    expect(JSON.parse(jsonOf([odd]))).toMatchObject({ ok: true, exitCode: 0 });
  });
});
