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
}

/** Appends to `path`. Errors outside of tests appear only in vitest's exit code. */
export const fileReporter = (path: string, root: string): Reporter => ({
  onTestModuleEnd(module) {
    appendFileSync(path, `${JSON.stringify(reportOf(module, root))}\n`);
  },
});

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
  for (const test of module.children.allTests()) counts[test.result().state] += 1;
  const hasFailedItself = counts.failed === 0 && !module.ok();
  const { collectDuration, setupDuration, duration } = module.diagnostic();
  return {
    suite: module.project.name,
    file: relative(root, module.moduleId),
    seconds: (collectDuration + setupDuration + duration) / 1000,
    passed: counts.passed,
    failed: counts.failed + (hasFailedItself ? 1 : 0),
    skipped: counts.skipped + counts.pending,
  };
}
