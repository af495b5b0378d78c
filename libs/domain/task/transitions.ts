// How a task's context changes at each transition: plain functions that the machine refers to by name.
import type { CallProgress } from "../../contracts/providers/provider.ts";
import type { TaskAttempt, TaskEvent, TaskState } from "../../contracts/tasks/task.ts";
import { failure, isTelephone, newest, type Outcome, type TaskContext } from "./outcome.ts";
import { taskSessionOf } from "./task-ids.ts";

type Said<T extends TaskEvent["type"]> = Extract<TaskEvent, { type: T }>;

/** The first attempt and the newest ones stay when there are too many. */
const ATTEMPTS_MAX = 12;

export function begun(context: TaskContext, event: Said<"slot_granted">): TaskContext {
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
    attempts: first === undefined ? [] : [first, ...rest.slice(-(ATTEMPTS_MAX - 1))],
  };
}

export const moved = (context: TaskContext, event: TaskEvent, state: TaskState): TaskContext =>
  changeNewest(context, (attempt) => entered(noted(attempt, event), state, event.at));

/** What changes nothing about the state, but is to be seen. The same context when it is known already. */
export function seen(context: TaskContext, event: TaskEvent): TaskContext {
  const before = newest(context);
  if (before === undefined) return context;
  const after = noted(before, event);
  return JSON.stringify(after) === JSON.stringify(before) ? context : changeNewest(context, () => after);
}

/** The end of an attempt, and of the task or not. */
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

/** The end of a task that has no attempt under way. */
export function endedWaiting(
  context: TaskContext,
  event: Said<"cancel_requested"> | Said<"expired">,
): TaskContext {
  const code = event.type === "expired" ? "expired" : "canceled";
  return { ...context, backoffMs: 0, endedAt: event.at, error: failure(code, event.reason, false) };
}

/** A new life of a task that had ended. Its attempts go on being counted, since the count is what fences. */
export const revived = (context: TaskContext): TaskContext => ({
  ...context,
  error: undefined,
  endedAt: undefined,
  scheduleAt: undefined,
  life: context.life + 1,
  failures: 0,
  backoffMs: 0,
});

/** The pause before the next attempt: it doubles with each failure, up to the task's own limit. */
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

/** How far a call has come: news of an earlier stage than the known one is late, and only its details count. */
const RANK: Record<CallProgress["status"], number> = {
  dialing: 0,
  ringing: 1,
  answered: 2,
  busy: 3,
  noAnswer: 3,
  voicemail: 3,
  failed: 3,
  hungUp: 3,
  unknown: 3,
};

/** What an event says besides where it leads. */
function noted(attempt: TaskAttempt, event: TaskEvent): TaskAttempt {
  const isReady =
    event.type === "session_ready" || (event.type === "session_ended" && event.wasReady)
      ? { agentReady: true as const }
      : {};
  const said = "call" in event ? event.call : undefined;
  if (said === undefined) {
    // It was only intended, and what is shown is that nobody was called.
    const { call: _, ...withoutCall } = attempt;
    const isNone = event.type === "session_ended" && event.notDialed === true;
    return { ...(isNone ? withoutCall : attempt), ...isReady };
  }
  const before = attempt.call;
  const status =
    before !== undefined && RANK[before.status] > RANK[said.status] ? before.status : said.status;
  const call: CallProgress = { ...before, ...said, status };
  return {
    ...attempt,
    ...isReady,
    call,
    ...(call.sipCode === undefined ? {} : { sipCode: call.sipCode }),
    ...(call.answeredBy === undefined ? {} : { answeredBy: call.answeredBy }),
  };
}

/** Whether an agent that is ready means that the conversation has begun. */
export const readyIsAnswer = (context: TaskContext): boolean => !isTelephone(context.provider);
