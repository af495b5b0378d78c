// The outcome of an attempt: whether it is over, how it ended, and whether another attempt follows.
import type { CallProgress, ProviderName } from "../../contracts/providers/provider.ts";
import type {
  TaskAttempt,
  TaskEnd,
  TaskError,
  TaskErrorCode,
  TaskEvent,
  TaskRecord,
} from "../../contracts/tasks/task.ts";

/** The record without the fields that belong to its storage: the machine's context. */
export type TaskContext = Omit<TaskRecord, "state" | "writeId">;

export interface Outcome {
  /** How the attempt ended. */
  readonly end: TaskEnd;
  readonly error?: TaskError;
  /** Whether another attempt follows. */
  readonly again: boolean;
  /** Whether the attempt counts as a failure. An attempt that found no agent does not. */
  readonly costs: boolean;
}

/** These providers ring a phone, so a ready agent is no answer yet. */
export const isTelephone = (provider: ProviderName): boolean => provider === "sip" || provider === "vapi";

/**
 * The outcome of the newest attempt after an event; undefined while the attempt continues.
 *
 * Another attempt only follows if nobody was reached: busy, no answer, a refused call, and a failure before the call was
 * dialed. Once somebody may have been reached, no attempt follows.
 */
export function outcomeOf(context: TaskContext, event: TaskEvent): Outcome | undefined {
  switch (event.type) {
    case "call_updated":
      return ofCall(context, event.call);
    case "session_ended":
      return ofSessionEnd(context, event);
    case "deadline_exceeded":
      return ofDeadline(context, event);
    case "cancel_requested":
      return over("canceled", failure("canceled", event.reason, false));
    default:
      return undefined;
  }
}

/** The outcome of a status that ends the call. Other statuses wait for the session's end. */
function ofCall(context: TaskContext, call: CallProgress): Outcome | undefined {
  const attempt = newest(context);
  // Once somebody has answered, a later status is the end of the conversation, whatever its name.
  const wasAnswered = hasAnswered(attempt);
  const description = describeCall(call);
  switch (call.status) {
    case "busy":
    case "noAnswer":
    case "failed": {
      if (wasAnswered)
        return over("failed", failure("lost_after_answer", `after the answer: ${description}`, false));
      if (call.status === "busy") return repeated(context, "busy", failure("busy", description, true));
      if (call.status === "noAnswer")
        return repeated(context, "noAnswer", failure("no_answer", description, true));
      const permanent = call.permanent === true;
      // A final SIP status of the carrier is about the number. Any other failure is about the setup of calls.
      const code = permanent && call.sipCode !== undefined ? "bad_number" : "call_failed";
      return repeated(context, "failed", failure(code, description, !permanent));
    }
    case "voicemail":
      return over("voicemail", failure("voicemail", description, false));
    case "unknown":
      return over("unknown", failure("unknown_outcome", description, false));
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
    if (call === undefined) return beforeDialing(context, event);
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
  if (!wasReached) return beforeDialing(context, event);
  if (event.endedReason !== "expired") return afterAnswer(event);
  return over("noAnswer", failure("no_answer", `nobody came into the room: ${event.reason}`, false));
}

/** The call was hung up by us before anybody answered, for certain. The callee may be called again. */
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

function beforeDialing(context: TaskContext, event: SessionEnded): Outcome {
  const reason = `nothing was dialed: ${event.reason}`;
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
    // The API ended the session after the answer and before the agent was ready. The call took place.
    case "cancelled":
      return over("completed");
    case "max_duration":
      return over("failed", failure("attempt_limit", `the conversation was ended: ${reason}`, false));
    default:
      return over("failed", failure("lost_after_answer", `${endedReason}: ${reason}`, false));
  }
}

function ofDeadline(context: TaskContext, event: Extract<TaskEvent, { type: "deadline_exceeded" }>): Outcome {
  const attempt = newest(context);
  const call = event.call ?? attempt?.call;
  const byCall = call === undefined ? undefined : ofCall(context, call);
  if (byCall !== undefined) return byCall;
  const reason = `the attempt took more than ${Math.round(context.deadlineMs.attempt / 1000)} s`;
  const isTalking = call?.status === "answered" || call?.status === "hungUp" || hasAnswered(attempt);
  if (isTalking) return over("failed", failure("attempt_limit", reason, false));
  // The providers service may dial at this very moment, so nobody can know that the call was not dialed.
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

const MAX_MESSAGE_LENGTH = 480;

export const failure = (code: TaskErrorCode, message: string, retryable: boolean): TaskError => ({
  code,
  message: message.slice(0, MAX_MESSAGE_LENGTH),
  retryable,
});

export const newest = (context: Pick<TaskContext, "attempts">): TaskAttempt | undefined =>
  context.attempts.at(-1);

const hasAnswered = (attempt: TaskAttempt | undefined): boolean =>
  attempt?.states.some(({ state }) => state === "answered" || state === "inProgress") === true;

function describeCall({ status, sipCode, providerReason }: CallProgress): string {
  const code = sipCode === undefined ? "" : ` (SIP ${sipCode})`;
  const reason = providerReason === undefined ? "" : `: ${providerReason}`;
  return `the call ended as ${status}${code}${reason}`;
}
