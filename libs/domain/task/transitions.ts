// Changes of a task's context, one function for each transition of the machine.
import type { CallProgress } from "../../contracts/providers/provider.ts";
import type { TaskAttempt, TaskEvent, TaskState } from "../../contracts/tasks/task.ts";
import { progressOf } from "../call/call-rank.ts";
import { failure, isTelephone, newest, type Outcome, type TaskContext } from "./outcome.ts";
import { taskSessionOf } from "./task-ids.ts";

type Input<T extends TaskEvent["type"]> = Extract<TaskEvent, { type: T }>;

/** The number of attempts in a record: the first one and the newest ones. */
const MAX_ATTEMPTS = 12;

export function begun(context: TaskContext, event: Input<"slot_granted">): TaskContext {
  const attempt: TaskAttempt = {
    n: event.attempt,
    sessionId: taskSessionOf(context.taskId, event.attempt),
    state: "dialing",
    states: [{ state: "dialing", at: event.at }],
  };
  const [first, ...rest] = [...context.attempts, attempt];
  return {
    ...context,
    attempt: event.attempt,
    backoffMs: 0,
    attempts: first === undefined ? [] : [first, ...rest.slice(-(MAX_ATTEMPTS - 1))],
  };
}

export const moved = (context: TaskContext, event: TaskEvent, state: TaskState): TaskContext =>
  changeNewest(context, (attempt) => entered(noted(attempt, event), state, event.at));

/** Stores details that change no state. Returns the same context when the details are already stored. */
export function seen(context: TaskContext, event: TaskEvent): TaskContext {
  const before = newest(context);
  if (before === undefined) return context;
  const after = noted(before, event);
  return JSON.stringify(after) === JSON.stringify(before) ? context : changeNewest(context, () => after);
}

/** The end of an attempt, and of the task unless another attempt follows. */
export function settled(context: TaskContext, event: TaskEvent, outcome: Outcome): TaskContext {
  const { end, error, again, costs } = outcome;
  const failures = context.failures + (costs && end !== "completed" ? 1 : 0);
  const next: TaskContext = {
    ...changeNewest(context, (attempt) => ({
      ...entered(noted(attempt, event), end, event.at),
      ...(error === undefined ? {} : { error }),
      ...(event.type === "session_ended" ? { over: true as const } : {}),
    })),
    failures,
    backoffMs: again ? backoffMs(context, costs ? failures : 1) : 0,
  };
  if (again) return next;
  return { ...next, endedAt: event.at, ...(error === undefined ? {} : { error }) };
}

/** The end of a task without an attempt in progress. */
export function endedWaiting(
  context: TaskContext,
  event: Input<"cancel_requested"> | Input<"expired">,
): TaskContext {
  const code = event.type === "expired" ? "expired" : "canceled";
  return { ...context, backoffMs: 0, endedAt: event.at, error: failure(code, event.reason, false) };
}

/** A new life of an ended task. The count of its attempts continues, since it is the fence. */
export const revived = (context: TaskContext): TaskContext => ({
  ...context,
  error: undefined,
  endedAt: undefined,
  scheduleAt: undefined,
  life: context.life + 1,
  failures: 0,
  backoffMs: 0,
});

/** The pause before the next attempt. It doubles with each failure, up to the task's limit. */
const backoffMs = ({ retry }: Pick<TaskContext, "retry">, failures: number): number =>
  Math.min(retry.initialMs * 2 ** Math.max(0, failures - 1), retry.maxMs);

function changeNewest(context: TaskContext, change: (attempt: TaskAttempt) => TaskAttempt): TaskContext {
  return {
    ...context,
    attempts: context.attempts.map((attempt, index) =>
      index === context.attempts.length - 1 ? change(attempt) : attempt,
    ),
  };
}

const entered = (attempt: TaskAttempt, state: TaskState, at: string): TaskAttempt => ({
  ...attempt,
  state,
  states: [...attempt.states, { state, at }],
});

/** The attempt with the details of an event. */
function noted(attempt: TaskAttempt, event: TaskEvent): TaskAttempt {
  const isReady =
    event.type === "session_ready" || (event.type === "session_ended" && event.wasReady)
      ? { agentReady: true as const }
      : {};
  const update = "call" in event ? event.call : undefined;
  if (update === undefined) {
    // The call was only intended. The record shows that nobody was called.
    const { call: _, ...withoutCall } = attempt;
    const wasNotDialed = event.type === "session_ended" && event.notDialed === true;
    return { ...(wasNotDialed ? withoutCall : attempt), ...isReady };
  }
  // A late event changes the details of a call, never its status.
  const before = attempt.call;
  const status =
    before !== undefined && progressOf(before.status) > progressOf(update.status)
      ? before.status
      : update.status;
  const call: CallProgress = { ...before, ...update, status };
  return {
    ...attempt,
    ...isReady,
    call,
    ...(call.sipCode === undefined ? {} : { sipCode: call.sipCode }),
    ...(call.answeredBy === undefined ? {} : { answeredBy: call.answeredBy }),
  };
}

/** Whether the conversation begins when the agent is ready. */
export const readyIsAnswer = (context: TaskContext): boolean => !isTelephone(context.provider);
