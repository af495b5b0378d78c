// Tasks and what is said of them as tests need them: valid, short, and changed where a test says so.
import type { CallProgress } from "../../libs/contracts/provider.ts";
import type { TaskEvent, TaskRecord, TaskRequest } from "../../libs/contracts/task.ts";
import { newTask, step } from "../../libs/task/step.ts";
import { AT } from "./examples.ts";

export const taskDefaults = { provider: "sip", deadlineMs: { attempt: 900_000 } } as const;

export const aRequest = (changed: Partial<TaskRequest> = {}): TaskRequest => ({
  tenant: "t",
  to: "+15550100",
  profile: "echo",
  ...changed,
});

/** A task that was just taken in. */
export const aTask = (id: string, changed: Partial<TaskRequest> = {}, place = 1): TaskRecord =>
  newTask(aRequest({ taskId: id, ...changed }), taskDefaults, { place, at: AT });

type Said<T extends TaskEvent["type"]> = Extract<TaskEvent, { type: T }>;
type OfTask = Pick<TaskRecord, "id" | "tenant" | "attempt">;
const of = ({ id, tenant }: OfTask) => ({ tenant, taskId: id, at: AT });

export const lineGiven = (
  task: OfTask & Pick<TaskRecord, "life">,
  attempt = task.attempt + 1,
  life = task.life,
): Said<"line_given"> => ({ ...of(task), type: "line_given", attempt, life });
export const callMoved = (
  task: OfTask,
  status: CallProgress["status"],
  more: Partial<CallProgress> = {},
  attempt = task.attempt,
): Said<"call_moved"> => ({
  ...of(task),
  type: "call_moved",
  attempt,
  call: { status, ...more },
  revision: 1,
});
export const sessionReady = (task: OfTask, attempt = task.attempt): Said<"session_ready"> => ({
  ...of(task),
  type: "session_ready",
  attempt,
});
export const sessionEnded = (
  task: OfTask,
  changed: Partial<Said<"session_ended">> = {},
): Said<"session_ended"> => ({
  ...of(task),
  type: "session_ended",
  attempt: task.attempt,
  reason: "completed",
  why: "the agent said goodbye",
  wasReady: true,
  worthRepeating: true,
  ...changed,
});
export const overdue = (task: OfTask, changed: Partial<Said<"overdue">> = {}): Said<"overdue"> => ({
  ...of(task),
  type: "overdue",
  attempt: task.attempt,
  waitedMs: 900_001,
  ...changed,
});
export const cancelRequested = (task: OfTask): Said<"cancel_requested"> => ({
  ...of(task),
  type: "cancel_requested",
  attempt: task.attempt,
  why: "by the API",
});
export const retryRequested = (
  task: OfTask & Pick<TaskRecord, "life">,
  life = task.life,
): Said<"retry_requested"> => ({ ...of(task), type: "retry_requested", attempt: task.attempt, life });

/** A task after several things happened to it, each of which is made of the task as it is then. */
export const become = (task: TaskRecord, ...events: ((task: TaskRecord) => TaskEvent)[]): TaskRecord =>
  events.reduce((record, eventOf) => step(record, eventOf(record)), task);
