// What an attempt comes to: whether it is over, how, and whether the task tries again.
import type { CallProgress, ProviderName } from "../../contracts/providers/provider.ts";
import type {
  TaskAttempt,
  TaskEnd,
  TaskError,
  TaskErrorCode,
  TaskEvent,
  TaskRecord,
} from "../../contracts/tasks/task.ts";

/** The record without the parts that belong to its storage: what the machine calls its context. */
export type TaskContext = Omit<TaskRecord, "state" | "writeId">;

export interface Outcome {
  /** How the attempt ended. */
  readonly end: TaskEnd;
  readonly error?: TaskError;
  /** Whether another attempt follows. */
  readonly again: boolean;
  /** Whether it counts as a failure; one that found no agent doesn't. */
  readonly costs: boolean;
}

/** These ring somebody's telephone, so that an agent's readiness is no answer yet. */
export const isTelephone = (provider: ProviderName): boolean => provider === "sip" || provider === "vapi";

/**
 * What the newest attempt has come to by an event; undefined while it goes on.
 *
 * Only what reached nobody is repeated: busy, no answer, a call that was refused, and what failed before it was
 * dialled. Once somebody may have been reached, or nobody can tell, it never is.
 */
export function outcomeOf(context: TaskContext, event: TaskEvent): Outcome | undefined {
  switch (event.type) {
    case "call_updated":
      return ofCall(context, event.call);
    case "session_ended":
      return ofSessionEnd(context, event);
    case "deadline_exceeded":
      return ofOverdue(context, event);
    case "cancel_requested":
      return over("canceled", failure("canceled", event.reason, false));
    default:
      return undefined;
  }
}

/** Statuses that end the call by themselves; the others wait for the session's end. */
function ofCall(context: TaskContext, call: CallProgress): Outcome | undefined {
  const attempt = newest(context);
  // Whoever answered was reached: what comes after that is the conversation's end, whatever it is called.
  const wasAnswered = hasAnswered(attempt);
  const said = sayCall(call);
  switch (call.status) {
    case "busy":
    case "noAnswer":
    case "failed": {
      if (wasAnswered)
        return over("failed", failure("lost_after_answer", `after the answer: ${said}`, false));
      if (call.status === "busy") return repeated(context, "busy", failure("busy", said, true));
      if (call.status === "noAnswer") return repeated(context, "noAnswer", failure("no_answer", said, true));
      const permanent = call.permanent === true;
      // A carrier's final word is about the number; any other is about how calls are set up.
      const code = permanent && call.sipCode !== undefined ? "bad_number" : "call_failed";
      return repeated(context, "failed", failure(code, said, !permanent));
    }
    case "voicemail":
      return over("voicemail", failure("voicemail", said, false));
    case "unknown":
      return over("unknown", failure("unknown_outcome", said, false));
    default:
      return undefined;
  }
}

type SessionEnded = Extract<TaskEvent, { type: "session_ended" }>;

function ofSessionEnd(context: TaskContext, event: SessionEnded): Outcome {
  const attempt = newest(context);
  const call = event.call ?? (event.notDialed ? undefined : attempt?.call);
  const byCall = call === undefined ? undefined : ofCall(context, call);
  if (byCall !== undefined) return byCall;
  if (isTelephone(context.provider)) {
    if (call === undefined) return beforeDialling(context, event);
    if (call.status === "dialing" || call.status === "ringing") {
      return over(
        "unknown",
        failure("unknown_outcome", `${event.reason}; the call was ${call.status}`, false),
      );
    }
    if (call.unanswered && !hasAnswered(attempt)) return whileItRang(context, event);
    return afterAnswer(event);
  }
  const wasReached = event.wasReady || attempt?.agentReady === true || hasAnswered(attempt);
  if (!wasReached) return beforeDialling(context, event);
  if (event.endedReason !== "expired") return afterAnswer(event);
  return over("noAnswer", failure("no_answer", `nobody came into the room: ${event.reason}`, false));
}

/** Its telephone was hung up from here, and nobody had answered: that is certain, so that it may be called again. */
function whileItRang(context: TaskContext, event: SessionEnded): Outcome {
  const reason = `nobody had answered: ${event.reason}`;
  switch (event.endedReason) {
    case "completed":
    case "cancelled":
      return over(
        "canceled",
        failure("canceled", `its session was ended by somebody: ${event.reason}`, false),
      );
    case "expired":
      return repeated(context, "noAnswer", failure("no_answer", reason, true));
    case "max_duration":
      return over("failed", failure("attempt_limit", reason, false));
    case "provider_error":
      return repeated(context, "failed", failure("provider_failed", reason, event.retryable));
    default:
      return repeated(context, "failed", failure("agent_failed", reason, event.retryable));
  }
}

function beforeDialling(context: TaskContext, event: SessionEnded): Outcome {
  const reason = `nothing was dialled: ${event.reason}`;
  switch (event.endedReason) {
    case "no_capacity":
      return {
        end: "failed",
        error: failure("no_capacity", reason, true),
        again: true,
        costs: false,
      };
    case "completed":
    case "cancelled":
      return over(
        "canceled",
        failure("canceled", `its session was ended by somebody: ${event.reason}`, false),
      );
    case "provider_error":
      return repeated(context, "failed", failure("provider_failed", reason, event.retryable));
    default:
      return repeated(context, "failed", failure("agent_failed", reason, event.retryable));
  }
}

function afterAnswer({ endedReason, reason }: SessionEnded): Outcome {
  switch (endedReason) {
    case "completed":
    case "idle":
    case "expired":
    // Who was reached and then ended by the API, before the agent was ready: there was a call, and it is over.
    case "cancelled":
      return over("completed");
    case "max_duration":
      return over("failed", failure("attempt_limit", `the conversation was ended: ${reason}`, false));
    default:
      return over("failed", failure("lost_after_answer", `${endedReason}: ${reason}`, false));
  }
}

function ofOverdue(context: TaskContext, event: Extract<TaskEvent, { type: "deadline_exceeded" }>): Outcome {
  const attempt = newest(context);
  const call = event.call ?? attempt?.call;
  const byCall = call === undefined ? undefined : ofCall(context, call);
  if (byCall !== undefined) return byCall;
  const reason = `the attempt took more than ${Math.round(context.deadlineMs.attempt / 1000)} s`;
  const isTalking = call?.status === "answered" || call?.status === "hungUp" || hasAnswered(attempt);
  if (isTalking) return over("failed", failure("attempt_limit", reason, false));
  // The providers service may be about to dial at this very moment, so that "not dialled yet" can't be relied on.
  if (isTelephone(context.provider)) return over("unknown", failure("unknown_outcome", reason, false));
  return repeated(context, "failed", failure("attempt_limit", reason, true));
}

const over = (end: TaskEnd, error?: TaskError): Outcome => ({
  end,
  again: false,
  costs: true,
  ...(error === undefined ? {} : { error }),
});

const repeated = (context: TaskContext, end: TaskEnd, error: TaskError): Outcome => ({
  end,
  error,
  again: error.retryable && context.failures + 1 < context.retry.maxAttempts,
  costs: true,
});

const MESSAGE_MAX = 480;

export const failure = (code: TaskErrorCode, message: string, retryable: boolean): TaskError => ({
  code,
  message: message.slice(0, MESSAGE_MAX),
  retryable,
});

export const newest = (context: Pick<TaskContext, "attempts">): TaskAttempt | undefined =>
  context.attempts.at(-1);

const hasAnswered = (attempt: TaskAttempt | undefined): boolean =>
  attempt?.states.some(({ state }) => state === "answered" || state === "inProgress") === true;

function sayCall({ status, sipCode, providerReason }: CallProgress): string {
  const code = sipCode === undefined ? "" : ` (SIP ${sipCode})`;
  const reason = providerReason === undefined ? "" : `: ${providerReason}`;
  return `the call came to ${status}${code}${reason}`;
}
