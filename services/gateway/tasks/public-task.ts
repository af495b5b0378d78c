// A task as clients see it.
import { tasks } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { Task, TaskSummary } from "../../../libs/contracts/tasks/http.ts";
import { type TaskRecord, type TaskRequest, TaskRetry, taskKey } from "../../../libs/contracts/tasks/task.ts";
import type { Gateway } from "../context.ts";
import { findTaskRequest } from "./create-task.ts";

/** A task's record, or its request until the tasks service has created the record. */
export type FoundTask = TaskRecord | TaskRequest;

export const isStored = (task: FoundTask): task is TaskRecord => "attempts" in task;

/** @throws GreenroomError not_found */
export async function requireTask(gateway: Gateway, taskId: string): Promise<FoundTask> {
  const entry = await gateway.bus.kv.get(tasks, taskKey(gateway.tenant, taskId));
  const found = entry?.value ?? (await findTaskRequest(gateway, taskId));
  if (found !== undefined) return found;
  throw new GreenroomError("not_found", `No task "${taskId}". It may have ended long ago.`);
}

export function toPublicTask(task: FoundTask): Task {
  if (!isStored(task)) {
    return {
      ...summaryOf({ ...task, taskId: task.taskId ?? "", state: "queued", attempt: 0, failures: 0 }),
      metadata: task.metadata ?? {},
      life: 1,
      backoffMs: 0,
      attempts: [],
    };
  }
  const { metadata, life, backoffMs, attempts } = task;
  return { ...summaryOf(task), metadata, life, backoffMs, attempts };
}

export const summarizeTask = (task: TaskRecord): TaskSummary => summaryOf(task);

type Summed = Pick<TaskRecord, "taskId" | "state" | "to" | "profile" | "attempt" | "failures"> & {
  readonly [K in "from" | "provider" | "retry" | "createdAt" | "scheduleAt" | "endedAt" | "error"]?:
    | TaskRecord[K]
    | undefined;
};

const summaryOf = (task: Summed): TaskSummary => ({
  taskId: task.taskId,
  state: task.state,
  to: task.to,
  from: task.from ?? null,
  profile: task.profile,
  provider: task.provider ?? null,
  attempt: task.attempt,
  failures: task.failures,
  retry: task.retry ?? TaskRetry.parse({}),
  createdAt: task.createdAt ?? null,
  scheduleAt: task.scheduleAt ?? null,
  endedAt: task.endedAt ?? null,
  error: task.error ?? null,
});
