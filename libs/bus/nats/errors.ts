// Interprets the errors of NATS.
import { ErrorCode, NatsError } from "nats";
import { GreenroomError } from "../../contracts/errors.ts";
import { DUPLICATE_IN_FLIGHT, NO_LEADER, storageErrorOf } from "../jetstream-errors.ts";

const NOT_FOUND = [10014, 10037, 10059];

/** JetStream's error code, if JetStream answered. */
export const apiCode = (error: unknown): number | undefined =>
  error instanceof NatsError ? error.api_error?.err_code : undefined;

export const isNotFound = (error: unknown): boolean =>
  NOT_FOUND.includes(apiCode(error) ?? 0) ||
  (error instanceof NatsError && error.code === ErrorCode.JetStream404NoMessages);

/**
 * Nothing was done, and a retry may succeed. Either the store did not answer, for example during an election or a start,
 * or a message with the same id is being stored.
 */
export const wasRefusedForNow = (error: unknown): boolean => {
  const code = apiCode(error);
  if (code !== undefined) return code === NO_LEADER || code === DUPLICATE_IN_FLIGHT;
  return error instanceof NatsError && error.code === ErrorCode.NoResponders;
};

/** No answer came, so the request may have been executed or not. */
export const isTimeout = (error: unknown): boolean =>
  error instanceof NatsError && error.code === ErrorCode.Timeout;

/** A failure of the store as a GreenroomError. */
export function storageError(doing: string, error: unknown): GreenroomError {
  if (error instanceof NatsError && error.code === ErrorCode.MaxPayloadExceeded) {
    const reason = "NATS allows only smaller messages. Set max_payload: 1MB in its configuration.";
    return new GreenroomError("payload_too_large", `${doing}: ${reason}`, { cause: error });
  }
  const silence = silenceReason(error);
  if (silence === undefined) return storageErrorOf(doing, error, apiCode(error));
  return new GreenroomError("storage_unavailable", `${doing}: ${silence}`, { cause: error });
}

/** A helpful text for the client's TIMEOUT and 503. */
function silenceReason(error: unknown): string | undefined {
  // A refusal by JetStream, for example because it is full, has the same 503 and an error code.
  if (apiCode(error) !== undefined) return undefined;
  // With a full disk, nats-server leaves this write and all later ones unanswered.
  if (isTimeout(error)) {
    return "NATS did not answer in time. Its /healthz shows whether a write failed. After a full disk it needs space and a restart.";
  }
  if (error instanceof NatsError && error.code === ErrorCode.NoResponders) {
    return "NATS's store did not respond. Is JetStream enabled? In a cluster, do more than half of the nodes run? /healthz of each node shows its state.";
  }
  return undefined;
}

/** The error of a failed request to a host. */
export function requestError(subject: string, error: unknown): GreenroomError {
  if (error instanceof GreenroomError) return error;
  if (error instanceof NatsError && error.code === ErrorCode.NoResponders) {
    return new GreenroomError("no_responders", `No responders on ${subject}.`, { cause: error });
  }
  if (error instanceof NatsError && error.code === ErrorCode.Timeout) {
    return new GreenroomError("timeout", `No answer on ${subject} in time.`, { cause: error });
  }
  return storageError(`requesting ${subject}`, error);
}
