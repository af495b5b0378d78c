// NATS's errors in our words.
import { ErrorCode, NatsError } from "nats";
import { GreenroomError } from "../../contracts/errors.ts";
import { DUPLICATE_IN_FLIGHT, NO_LEADER, storageErrorOf } from "../jetstream-errors.ts";

const NOT_FOUND = [10014, 10037, 10059];

/** JetStream's number of an error, when it was JetStream that answered. */
export const apiCode = (error: unknown): number | undefined =>
  error instanceof NatsError ? error.api_error?.err_code : undefined;

export const isNotFound = (error: unknown): boolean =>
  NOT_FOUND.includes(apiCode(error) ?? 0) ||
  (error instanceof NatsError && error.code === ErrorCode.JetStream404NoMessages);

/**
 * Nothing was done, and a little later it may be: nobody was there to answer, because a cluster chooses a
 * leader or a server starts, or another telling of the same message is about to be stored.
 */
export const wasRefusedForNow = (error: unknown): boolean => {
  const code = apiCode(error);
  if (code !== undefined) return code === NO_LEADER || code === DUPLICATE_IN_FLIGHT;
  return error instanceof NatsError && error.code === ErrorCode.NoResponders;
};

/** No answer came: it may have been done or not. */
export const isTimeout = (error: unknown): boolean =>
  error instanceof NatsError && error.code === ErrorCode.Timeout;

/** A failure of the store while doing something, as the one error class that callers handle. */
export function storageError(doing: string, error: unknown): GreenroomError {
  const silence = whySilent(error);
  if (silence === undefined) return storageErrorOf(doing, error, apiCode(error));
  return new GreenroomError("storage_unavailable", `${doing}: ${silence}`, { cause: error });
}

/** The client's own words for "no answer" are TIMEOUT and 503, which tell nobody what to look at. */
function whySilent(error: unknown): string | undefined {
  // What JetStream itself refuses, because it is full for example, comes with the same 503 and its own number.
  if (apiCode(error) !== undefined) return undefined;
  // nats-server leaves a write that its disk has no room for unanswered, and all that follow.
  if (isTimeout(error)) {
    return "NATS did not answer in time. Its /healthz says whether a write failed: one whose disk was full needs room and a restart.";
  }
  if (error instanceof NatsError && error.code === ErrorCode.NoResponders) {
    return "nobody answers for NATS's store. Is JetStream on, and in a cluster, do more than half of the nodes run? /healthz of each node says what is wrong.";
  }
  return undefined;
}

/** A failed question to a host. */
export function requestError(subject: string, error: unknown): GreenroomError {
  if (error instanceof GreenroomError) return error;
  if (error instanceof NatsError && error.code === ErrorCode.NoResponders) {
    return new GreenroomError("no_responders", `Nobody answers on ${subject}.`, { cause: error });
  }
  if (error instanceof NatsError && error.code === ErrorCode.Timeout) {
    return new GreenroomError("timeout", `No answer came on ${subject} in time.`, { cause: error });
  }
  return storageError(`asking on ${subject}`, error);
}
