// What a task becomes when something reaches it, and how one begins.
import { transition } from "xstate";
import type { ProviderName } from "../../contracts/providers/provider.ts";
import {
  type TaskError,
  type TaskEvent,
  type TaskRecord,
  type TaskRequest,
  TaskRetry,
} from "../../contracts/tasks/task.ts";
import { fingerprint } from "../ids.ts";
import { taskMachine } from "./machine.ts";
import { taskIdOfKey, taskIdOfSeq } from "./task-ids.ts";

export interface TaskDefaults {
  readonly provider: ProviderName;
  readonly deadlineMs: TaskRecord["deadlineMs"];
}

/**
 * What a task becomes when an event reaches it.
 *
 * An event that the present state has no use for returns the very same object. That makes redelivery safe: a line
 * that was given twice begins one attempt, and news of an attempt that is over changes nothing.
 */
export function reduceTask(record: TaskRecord, event: TaskEvent): TaskRecord {
  const { state, writeId, ...context } = record;
  const before = taskMachine.resolveState({ value: state, context });
  const [after] = transition(taskMachine, before, event);
  if (after.value === before.value && after.context === before.context) return record;
  const next = withoutAbsent({ ...after.context, state: after.value, writeId } as TaskRecord);
  return next.state === state ? next : { ...next, changes: movesWith(record.changes, next, event.at) };
}

/** So many changes of state are kept; each is told when it is saved, and a task makes six with one attempt. */
const MOVES_MAX = 20;

const movesWith = (
  before: TaskRecord["changes"] = [],
  { state, attempt }: Pick<TaskRecord, "state" | "attempt">,
  at: string,
): NonNullable<TaskRecord["changes"]> =>
  [...before, { n: (before.at(-1)?.n ?? 0) + 1, state, attempt, at }].slice(-MOVES_MAX);

/** The machine can only set a field to undefined; a record on the wire has no such fields. */
const withoutAbsent = (record: TaskRecord): TaskRecord =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as TaskRecord;

export interface TaskAdmission {
  /** Its place in the stream. */
  readonly queueSeq: number;
  readonly at: string;
  /** Why it can't ever be done: it ends at once. */
  readonly refused?: TaskError | undefined;
}

/** The record of a task that was just asked for. */
export function newTask(request: TaskRequest, defaults: TaskDefaults, taken: TaskAdmission): TaskRecord {
  const { tenant, to, from, profile, scheduleAt } = request;
  const { refused } = taken;
  const state = refused === undefined ? "queued" : "failed";
  return {
    v: 1,
    taskId: taskIdOf(request, taken.queueSeq),
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
    queueSeq: taken.queueSeq,
    attempts: [],
    ...(refused === undefined ? {} : { error: refused, endedAt: taken.at }),
    createdAt: taken.at,
    changes: movesWith([], { state, attempt: 0 }, taken.at),
    requestHash: requestHashOf(request),
    writeId: "",
  };
}

export function taskIdOf(request: TaskRequest, place: number): string {
  if (request.taskId !== undefined) return request.taskId;
  if (request.idempotencyKey !== undefined) return taskIdOfKey(request.tenant, request.idempotencyKey);
  return taskIdOfSeq(request.tenant, place, requestHashOf(request));
}

/** Of what is wanted, and not of how the request is known again. */
export function requestHashOf(request: TaskRequest): string {
  const { taskId: _, idempotencyKey: __, ...wish } = request;
  return fingerprint(wish);
}
