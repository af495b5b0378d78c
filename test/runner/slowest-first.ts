// The order of a run: group after group of suites, and in each group the slowest files first.
import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { readTimings, secondsOf } from "./timings.ts";

/** Long files go first, so that two workers end at about the same time. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const timings = readTimings();
    const groupOf = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    const costOf = ({ project, moduleId }: TestSpecification) =>
      secondsOf(timings, project.name, relative(this.ctx.config.root, moduleId));
    return [...files].sort((a, b) => groupOf(a) - groupOf(b) || costOf(b) - costOf(a));
  }
}
