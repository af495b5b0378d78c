// NATS's errors in our words.
import { ErrorCode, NatsError } from "nats";
import { GreenroomError } from "../contracts/errors.ts";

/** JetStream's numbers, from its server's errors.json. */
const WRONG_LAST_SEQUENCE = 10071;
/** The same on a replicated stream, where it also means "another write is in flight". */
const WRONG_LAST_SEQUENCE_REPLICATED = 10164;
const STORE_FULL = [10023, 10047, 10077, 10122];
const NOT_FOUND = [10014, 10037, 10059];

const apiCode = (error: unknown): number | undefined =>
  error instanceof NatsError ? error.api_error?.err_code : undefined;

/** Somebody else wrote first, as far as this answer can tell. */
export const isConflict = (error: unknown): boolean => {
  const code = apiCode(error);
  return code === WRONG_LAST_SEQUENCE || code === WRONG_LAST_SEQUENCE_REPLICATED;
};

export const isNotFound = (error: unknown): boolean =>
  NOT_FOUND.includes(apiCode(error) ?? 0) ||
  (error instanceof NatsError && error.code === ErrorCode.JetStream404NoMessages);

/** A failure of the store while doing something, as the one error class that callers handle. */
export function storageError(doing: string, error: unknown): GreenroomError {
  if (error instanceof GreenroomError) return error;
  if (STORE_FULL.includes(apiCode(error) ?? 0)) {
    return new GreenroomError(
      "storage_full",
      `${doing}: the store is full. Raise NATS's max_file_store or shorten how long things are kept.`,
      { cause: error },
    );
  }
  const why = error instanceof Error ? error.message : String(error);
  return new GreenroomError("storage_unavailable", `${doing}: NATS said "${why}".`, { cause: error });
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
