// The order of checks, their time limits, and the table.
import { describe, expect, test } from "vitest";
import { type Check, check, type Finding, failure, ok, warning } from "../../../../cli/doctor/check.ts";
import { runChecks } from "../../../../cli/doctor/run-checks.ts";
import { allChecks } from "../../../../cli/doctor/table.ts";

describe("runChecks", () => {
  const quick = (name: string, findings: Finding[], needs: string[] = []): Check<object> =>
    check({
      ...{ name, title: name, timeoutMs: 1000, needs, todo: "Do it." },
      observe: async () => findings,
      judge: (seen: Finding[]) => seen,
    });
  const run = async (checks: Check<object>[]) => {
    const started: string[] = [];
    const results = await runChecks(checks, {}, ({ name }) => started.push(name));
    expect(started).toEqual(checks.map(({ name }) => name));
    return Object.fromEntries(results.map((result) => [result.name, result]));
  };

  test("runs checks in order, and skips those whose needs failed or were skipped", async () => {
    const results = await run([
      quick("a", [failure("Broken.", "Mend it.")]),
      quick("b", [ok("Good.")], ["a"]),
      quick("c", [ok("Good.")], ["b"]),
      quick("d", [warning("Odd.", "Look."), ok("Else well.")]),
      quick("e", [ok("Good.")], ["d"]),
    ]);
    expect(Object.values(results).map(({ level }) => level)).toEqual([
      "failure",
      "skipped",
      "skipped",
      "warning",
      "ok",
    ]);
    expect(results.c?.findings[0]?.message).toContain('"b"');
  });

  test("limits the time of each check, so that one that hangs fails and delays no other", async () => {
    let aborted = false;
    const hanging: Check<object> = check({
      ...{ name: "hangs", title: "hangs", timeoutMs: 30, todo: "Wake it." },
      observe: (_: object, signal) => {
        signal.addEventListener("abort", () => {
          aborted = true;
        });
        return new Promise<never>(() => {});
      },
      judge: () => [],
    });
    const results = await run([hanging, quick("next", [ok("Here.")])]);
    expect(results.hangs?.findings).toEqual([failure("No answer within 0.03 s.", "Wake it.")]);
    expect(aborted).toBe(true);
    expect(results.next?.level).toBe("ok");
  });

  test("reports what a check throws as its failure, with what to do", async () => {
    const throwing: Check<object> = check({
      ...{ name: "throws", title: "throws", timeoutMs: 1000, todo: "Mend it." },
      observe: async (_: object): Promise<never> => {
        throw new Error("the wire is cut");
      },
      judge: () => [],
    });
    expect((await run([throwing])).throws?.findings).toEqual([failure("the wire is cut.", "Mend it.")]);
  });

  test("has a table with unique names, needs in order, and a time for each check", () => {
    const seen: string[] = [];
    for (const { name, needs = [], timeoutMs } of allChecks) {
      expect(seen).not.toContain(name);
      for (const need of needs) expect(seen).toContain(need);
      expect(timeoutMs).toBeGreaterThan(0);
      seen.push(name);
    }
  });
});
