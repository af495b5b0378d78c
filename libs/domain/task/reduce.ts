// The reducer of tasks, and the record of a new task.
import type { ProviderName } from "../../contracts/providers/provider.ts";
import {
  type TaskError,
  type TaskEvent,
  type TaskRecord,
  type TaskRequest,
  TaskRetry,
} from "../../contracts/tasks/task.ts";
import { fingerprint } from "../ids.ts";
import { reducerOf } from "../reducer.ts";
import { taskMachine } from "./machine.ts";
import { taskIdOfKey, taskIdOfSeq } from "./task-ids.ts";

export interface TaskDefaults {
  readonly provider: ProviderName;
  readonly deadlineMs: TaskRecord["deadlineMs"];
}

const reduce = reducerOf<TaskRecord, TaskEvent>(taskMachine);

/** Reduces a task and adds each change of its state to `changes`. */
export function reduceTask(record: TaskRecord, event: TaskEvent): TaskRecord {
  const next = reduce(record, event);
  return next.state === record.state
    ? next
    : { ...next, changes: changesWith(record.changes, next, event.at) };
}

/** Each change is published once its record is saved. A task changes its state six times in an attempt. */
const MAX_CHANGES = 20;

const changesWith = (
  before: TaskRecord["changes"] = [],
  { state, attempt }: Pick<TaskRecord, "state" | "attempt">,
  at: string,
): NonNullable<TaskRecord["changes"]> =>
  [...before, { n: (before.at(-1)?.n ?? 0) + 1, state, attempt, at }].slice(-MAX_CHANGES);

export interface TaskAdmission {
  /** The position of the request in the stream. */
  readonly queueSeq: number;
  readonly at: string;
  /** The reason for which the task fails at once. */
  readonly refused?: TaskError | undefined;
}

export function newTask(
  request: TaskRequest,
  defaults: TaskDefaults,
  { at, queueSeq, refused }: TaskAdmission,
): TaskRecord {
  const { tenant, to, from, profile, scheduleAt } = request;
  const state = refused === undefined ? "queued" : "failed";
  return {
    v: 1,
    taskId: taskIdOf(request, queueSeq),
    tenant,
    to,
    ...(from === undefined ? {} : { from }),
    profile,
    provider: request.provider ?? defaults.provider,
    metadata: request.metadata ?? {},
    ...(scheduleAt === undefined ? {} : { scheduleAt }),
    retry: request.retry ?? TaskRetry.parse({}),
    state,
    attempt: 0,
    failures: 0,
    life: 1,
    backoffMs: 0,
    deadlineMs: defaults.deadlineMs,
    queueSeq,
    attempts: [],
    ...(refused === undefined ? {} : { error: refused, endedAt: at }),
    createdAt: at,
    changes: changesWith([], { state, attempt: 0 }, at),
    requestHash: requestHashOf(request),
    writeId: "",
  };
}

export function taskIdOf(request: TaskRequest, queueSeq: number): string {
  if (request.taskId !== undefined) return request.taskId;
  if (request.idempotencyKey !== undefined) return taskIdOfKey(request.tenant, request.idempotencyKey);
  return taskIdOfSeq(request.tenant, queueSeq, requestHashOf(request));
}

/** A hash of the request without the id and the key that identify a repeat. */
export function requestHashOf(request: TaskRequest): string {
  const { taskId: _, idempotencyKey: __, ...content } = request;
  return fingerprint(content);
}
