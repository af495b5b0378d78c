// Compiles what tests start as processes: before the first test, and again after changes in a watched run.
import type { TestProject } from "vitest/node";
import { build } from "../../cli/build.mjs";

export async function setup(project: TestProject): Promise<void> {
  await build();
  project.onTestsRerun(async () => void (await build()));
}
