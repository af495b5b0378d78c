// The metrics of the tasks service: unfinished tasks, and counters of tasks that began or ended.
import { isTaskEnd, type TaskRecord } from "../../libs/contracts/tasks/task.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { TaskView } from "./task-view.ts";

/** Call this with a record that was just saved. One process saves each change, so the sum over all is exact. */
export type CountTask = (record: TaskRecord, before?: TaskRecord) => void;

export function countTasks(metrics: Metrics): CountTask {
  const labels = ["profile", "provider"];
  const taken = metrics.counter("greenroom_tasks_created_total", "Tasks that were accepted.", labels);
  const attempts = metrics.counter("greenroom_task_attempts_total", "Attempts of tasks that began.", labels);
  const ended = metrics.counter(
    "greenroom_tasks_ended_total",
    "Tasks that ended, by their final state and error code.",
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

/** Every instance sees every task, so all report the same values. */
export function measureTasks(metrics: Metrics, view: TaskView): void {
  metrics.gauge(
    "greenroom_tasks",
    "Tasks that have not ended. Queued tasks wait for a call slot, an agent, their time or calling hours.",
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
