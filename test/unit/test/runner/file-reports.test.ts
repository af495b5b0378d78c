// The reports of finished test files, for the summary of the run.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { TestModule } from "vitest/node";
import { fileReporter, readFileReports } from "../../../runner/file-reports.ts";

test("counts an error outside of every test as a failure", async () => {
  const path = join(await mkdtemp(join(tmpdir(), "reports-")), "report.jsonl");

  const errors = [{ name: "Error", message: "Worker exited unexpectedly\nat pool" }, { status: 500 }];
  fileReporter(path, "/repo").onTestRunEnd?.([], errors as never, "failed");

  const reports = await readFileReports(path);
  expect(reports.map(({ failed }) => failed)).toEqual([1, 1]);
  expect(reports.flatMap(({ failures }) => failures)).toEqual([
    "unhandled error: Worker exited unexpectedly",
    "unhandled error: an error without a message",
  ]);
});

test("counts the tests, and names each failed one with the first line of its error", async () => {
  const path = join(await mkdtemp(join(tmpdir(), "reports-")), "report.jsonl");
  const failed = { state: "failed", errors: [{ message: "expected 1 to be 2\nat line 3" }] };
  const tests = [
    { fullName: "starts > answers", result: () => ({ state: "passed" }) },
    { fullName: "starts > waits", result: () => failed },
    { fullName: "starts > is skipped", result: () => ({ state: "skipped" }) },
  ];

  fileReporter(path, "/repo").onTestModuleEnd?.(moduleOf(tests));
  fileReporter(path, "/repo").onTestModuleEnd?.(moduleOf([], [{ message: "Cannot find module 'x'" }]));

  const file = { suite: "system", file: "test/system/starts.test.ts", seconds: 0.6 };
  expect(await readFileReports(path)).toEqual([
    { ...file, passed: 1, failed: 1, skipped: 1, failures: ["starts > waits: expected 1 to be 2"] },
    { ...file, passed: 0, failed: 1, skipped: 0, failures: ["outside its tests: Cannot find module 'x'"] },
  ]);
});

/** The parts of a test module that a report reads. */
function moduleOf(tests: readonly unknown[], errors: readonly { message: string }[] = []): TestModule {
  return {
    project: { name: "system" },
    moduleId: "/repo/test/system/starts.test.ts",
    children: { allTests: () => tests, allSuites: () => [{ errors: () => [] }] },
    ok: () => false,
    errors: () => errors,
    diagnostic: () => ({ collectDuration: 100, setupDuration: 200, duration: 300 }),
  } as unknown as TestModule;
}
