// The order of a run: one group of suites after the other, and in each the slowest files first.
import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { readTimings, secondsOf } from "./timings.ts";

/** Two workers end at about the same time only if no long file is left for the end. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const timings = readTimings();
    const groupOf = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    const costOf = ({ project, moduleId }: TestSpecification) =>
      secondsOf(timings, project.name, relative(this.ctx.config.root, moduleId));
    return [...files].sort((a, b) => groupOf(a) - groupOf(b) || costOf(b) - costOf(a));
  }
}
