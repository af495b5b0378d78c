// The view that one process has of the unfinished tasks.
import { type BucketView, type Seen, watchBucket } from "../../libs/bus/bucket-view.ts";
import type { Bus } from "../../libs/bus/bus.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { isActiveTask, isTaskEnd, type TaskRecord, taskKey } from "../../libs/contracts/tasks/task.ts";
import type { Clock } from "../../libs/runtime/clock.ts";

/** `attemptSeenAtMs`: when this process first saw the attempt in progress, in ms on its own monotonic clock. */
export type SeenTask = Seen<TaskRecord, { readonly attemptSeenAtMs: number }>;

export interface TaskView extends Pick<BucketView<TaskRecord>, "onChange" | "stop"> {
  get(tenant: string, taskId: string): SeenTask | undefined;
  /** Tasks that wait, oldest first. */
  queued(): readonly SeenTask[];
  active(): SeenTask[];
}

/** Follows the tasks until stopped. Returns once all stored tasks are known. */
export async function watchTasks(bus: Bus, clock: Clock): Promise<TaskView> {
  let queued: SeenTask[] | undefined;
  const view = await watchBucket<TaskRecord, { readonly attemptSeenAtMs: number }>(bus, tasks, clock, {
    keep: ({ state }) => !isTaskEnd(state),
    note: (record, before, nowMs) => ({
      attemptSeenAtMs:
        before !== undefined && isSameAttempt(before.record, record) ? before.attemptSeenAtMs : nowMs,
    }),
    onChange({ value, before }) {
      if (before?.record.state === "queued" || value?.state === "queued") queued = undefined;
    },
  });
  return {
    get: (tenant, taskId) => view.get(taskKey(tenant, taskId)),
    queued() {
      queued ??= view
        .all()
        .filter(({ record }) => record.state === "queued")
        .sort((a, b) => a.record.queueSeq - b.record.queueSeq || a.revision - b.revision);
      return queued;
    },
    active: () => view.all().filter(({ record }) => isActiveTask(record.state)),
    onChange: view.onChange,
    stop: view.stop,
  };
}

const isSameAttempt = (before: TaskRecord, record: TaskRecord): boolean =>
  isActiveTask(before.state) && isActiveTask(record.state) && before.attempt === record.attempt;
