// Appends a line of JSON for each finished test file, so that the files of a killed run count too.
import { appendFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { relative } from "node:path";
import type { Reporter, TestModule } from "vitest/node";

export interface FileReport {
  /** The vitest project, e.g. `system`. */
  readonly suite: string;
  /** The path in the repository, e.g. `test/system/starts.test.ts`. */
  readonly file: string;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Of each failure, the test's full name and the first line of its error, e.g. `starts > waits: Test timed out`. */
  readonly failures: readonly string[];
}

/** Appends to `path`. */
export function fileReporter(path: string, root: string): Reporter {
  const append = (report: FileReport) => appendFileSync(path, `${JSON.stringify(report)}\n`);
  return {
    onTestModuleEnd: (module) => append(reportOf(module, root)),
    onTestRunEnd: (_modules, errors) => {
      for (const error of errors) append(strayError(error));
    },
  };
}

/** @returns no reports if the run ended before its first file */
export async function readFileReports(path: string): Promise<FileReport[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as FileReport);
}

/** A file that fails outside its tests, e.g. on a missing import, counts for one failed test. */
function reportOf(module: TestModule, root: string): FileReport {
  const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
  const failures: string[] = [];
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    counts[state] += 1;
    if (state === "failed") failures.push(failureLine(test.fullName, errors));
  }
  const hasFailedItself = counts.failed === 0 && !module.ok();
  if (hasFailedItself) {
    const suites = [...module.children.allSuites()].flatMap((suite) => suite.errors());
    failures.push(failureLine("outside its tests", [...module.errors(), ...suites]));
  }
  const { collectDuration, setupDuration, duration } = module.diagnostic();
  return {
    suite: module.project.name,
    file: relative(root, module.moduleId),
    seconds: (collectDuration + setupDuration + duration) / 1000,
    passed: counts.passed,
    failed: counts.failed + (hasFailedItself ? 1 : 0),
    skipped: counts.skipped + counts.pending,
    failures,
  };
}

/** An error outside of every test, e.g. an unhandled rejection or a dead worker, counts for one failed test. */
const strayError = (error: { readonly message?: unknown }): FileReport => ({
  suite: "vitest",
  file: "no file",
  seconds: 0,
  passed: 0,
  failed: 1,
  skipped: 0,
  failures: [failureLine("unhandled error", [error])],
});

/** Tests may throw anything, also an object without a message. */
const failureLine = (name: string, [error]: readonly { readonly message?: unknown }[] = []): string =>
  `${name}: ${String(error?.message ?? "an error without a message").split("\n")[0]}`;
