// The tasks that aren't over, as one process sees them, and for how long it has seen each as it is.
import type { Bus, Stop } from "../../libs/bus/bus.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { isActiveTask, isTaskEnd, type TaskRecord, taskKey } from "../../libs/contracts/tasks/task.ts";
import type { Clock } from "../../libs/runtime/clock.ts";

export interface SeenTask {
  readonly record: TaskRecord;
  readonly revision: number;
  /** When this process first saw this revision, and this attempt under way, on its own monotonic clock, in ms. */
  readonly seenAtMs: number;
  readonly attemptSeenAtMs: number;
}

export interface TaskView {
  get(tenant: string, taskId: string): SeenTask | undefined;
  /** Those that wait, oldest first. */
  queued(): readonly SeenTask[];
  active(): SeenTask[];
  /** Calls when there may be something to do: a task waits, or one is over. */
  onChange(call: () => void): void;
  stop: Stop;
}

/** Follows the tasks until stopped. Answers when all that are stored are known. What is over is forgotten. */
export async function watchTasks(bus: Bus, clock: Clock): Promise<TaskView> {
  const known = new Map<string, SeenTask>();
  const listeners: (() => void)[] = [];
  let queued: SeenTask[] | undefined;

  const stop = await bus.kv.watch(tasks, ({ key, value, revision }) => {
    const before = known.get(key);
    if (before !== undefined && before.revision >= revision) return;
    if (value === undefined || isTaskEnd(value.state)) known.delete(key);
    else known.set(key, seenAs(value, revision, before, clock.monotonic()));
    if (before?.record.state === "queued" || value?.state === "queued") queued = undefined;
    for (const listener of listeners) listener();
  });
  return {
    get: (tenant, taskId) => known.get(taskKey(tenant, taskId)),
    queued() {
      queued ??= [...known.values()]
        .filter(({ record }) => record.state === "queued")
        .sort((a, b) => a.record.queueSeq - b.record.queueSeq || a.revision - b.revision);
      return queued;
    },
    active: () => [...known.values()].filter(({ record }) => isActiveTask(record.state)),
    onChange(call) {
      listeners.push(call);
    },
    stop,
  };
}

function seenAs(record: TaskRecord, revision: number, before: SeenTask | undefined, nowMs: number): SeenTask {
  const goesOn =
    before !== undefined &&
    isActiveTask(before.record.state) &&
    isActiveTask(record.state) &&
    before.record.attempt === record.attempt;
  return { record, revision, seenAtMs: nowMs, attemptSeenAtMs: goesOn ? before.attemptSeenAtMs : nowMs };
}
