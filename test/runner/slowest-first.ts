// The order of a run: group after group of suites, and in each group the slowest files first.
import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { readTimings, secondsOf } from "./timings.ts";

/**
 * Long files go first, so that two workers end at about the same time. Suites whose files share servers stay together,
 * because a worker that changes suites ends its servers.
 */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const timings = readTimings();
    const groupOf = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    const costOf = ({ project, moduleId }: TestSpecification) =>
      secondsOf(timings, project.name, relative(this.ctx.config.root, moduleId));
    const longest = new Map<string, number>();
    for (const file of files) {
      const { name } = file.project;
      longest.set(name, Math.max(longest.get(name) ?? 0, costOf(file)));
    }
    const blockCostOf = (file: TestSpecification) =>
      file.project.config.isolate ? costOf(file) : (longest.get(file.project.name) ?? 0);
    return [...files].sort(
      (a, b) => groupOf(a) - groupOf(b) || blockCostOf(b) - blockCostOf(a) || costOf(b) - costOf(a),
    );
  }
}
