// What the tasks service measures: the tasks that are not over, and each that began or ended by a record it saved.
import { isTaskEnd, type TaskRecord } from "../../libs/contracts/tasks/task.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { TaskView } from "./task-view.ts";

/** To be called with what was just saved. Each change is saved by one process, so all together count it once. */
export type CountTask = (record: TaskRecord, before?: TaskRecord) => void;

export function countTasks(metrics: Metrics): CountTask {
  const labels = ["profile", "provider"];
  const taken = metrics.counter("greenroom_tasks_created_total", "Tasks that were accepted.", labels);
  const attempts = metrics.counter(
    "greenroom_task_attempts_total",
    "Attempts that were begun for tasks.",
    labels,
  );
  const ended = metrics.counter(
    "greenroom_tasks_ended_total",
    "Tasks that ended, by the state that they ended in and the code of their error, if any.",
    [...labels, "state", "code"],
  );
  return (record, before) => {
    const { profile, provider, state } = record;
    if (before === undefined) taken({ profile, provider });
    if (record.attempt > (before?.attempt ?? 0)) attempts({ profile, provider });
    if (isTaskEnd(state) && before?.state !== state)
      ended({ profile, provider, state, code: record.error?.code ?? "" });
  };
}

/** Every instance sees every task and reports the same of them. */
export function measureTasks(metrics: Metrics, view: TaskView): void {
  metrics.gauge(
    "greenroom_tasks",
    "Tasks that have not ended; queued ones wait for a line, an agent, their time or calling hours.",
    ["profile", "provider", "state"],
    (set) => {
      const seen = [...view.queued(), ...view.active()];
      for (const { record } of seen) {
        const { profile, provider, state } = record;
        set(1, { profile, provider, state });
      }
    },
  );
}
