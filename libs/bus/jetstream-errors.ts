// Interprets JetStream's error codes, from the server's errors.json. The same on NATS and in memory.
import { GreenroomError } from "../contracts/errors.ts";

export const WRONG_LAST_SEQUENCE = 10071;
/** The same on a replicated stream, where it also means that another write is in flight, which may still fail. */
export const WRONG_LAST_SEQUENCE_REPLICATED = 10164;
/** A replicated stream is storing another message with this id, which may still fail. */
export const DUPLICATE_IN_FLIGHT = 10158;
/** The cluster is electing a leader. */
export const NO_LEADER = 10008;
export const STORE_FULL = 10077;
const ALL_STORE_FULL = [10023, 10047, STORE_FULL, 10122];

/** Another write was faster, as far as this answer can tell. */
export const isConflictCode = (code: number | undefined): boolean =>
  code === WRONG_LAST_SEQUENCE || code === WRONG_LAST_SEQUENCE_REPLICATED;

/** Nothing was done, and a retry may succeed: an election, or a message with the same id is being stored. */
export const wasRefusedForNow = (code: number | undefined): boolean =>
  code === NO_LEADER || code === DUPLICATE_IN_FLIGHT;

/**
 * A failure of the store as a GreenroomError.
 *
 * @param code JetStream's error code, if JetStream answered
 */
export function storageErrorOf(doing: string, error: unknown, code: number | undefined): GreenroomError {
  if (error instanceof GreenroomError) return error;
  if (code !== undefined && ALL_STORE_FULL.includes(code)) {
    return new GreenroomError(
      "storage_full",
      `${doing}: the store is full. Raise NATS's max_file_store, or shorten the retention.`,
      { cause: error },
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new GreenroomError("storage_unavailable", `${doing}: NATS answered "${reason}".`, { cause: error });
}
