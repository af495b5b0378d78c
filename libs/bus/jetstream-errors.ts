// JetStream's refusals in our words, by the numbers in its server's errors.json: the same on NATS and in memory.
import { GreenroomError } from "../contracts/errors.ts";

export const WRONG_LAST_SEQUENCE = 10071;
/** The same on a replicated stream, where it also means "another write is in flight", which may yet come to nothing. */
export const WRONG_LAST_SEQUENCE_REPLICATED = 10164;
/** A replicated stream is about to store another message with this id, and doesn't know yet whether it will. */
export const DUPLICATE_IN_FLIGHT = 10158;
/** A cluster between two leaders. */
export const NO_LEADER = 10008;
export const STORE_FULL = 10077;
const ALL_STORE_FULL = [10023, 10047, STORE_FULL, 10122];

/** Somebody else wrote first, as far as this answer can tell. */
export const isConflictCode = (code: number | undefined): boolean =>
  code === WRONG_LAST_SEQUENCE || code === WRONG_LAST_SEQUENCE_REPLICATED;

/**
 * Nothing was done, and a little later it may be: a cluster chooses a leader, or another telling of the same
 * message is about to be stored.
 */
export const wasRefusedForNow = (code: number | undefined): boolean =>
  code === NO_LEADER || code === DUPLICATE_IN_FLIGHT;

/**
 * A failure of the store while doing something, as the one error class that callers handle.
 *
 * @param code JetStream's number, when it was JetStream that answered
 */
export function storageErrorOf(doing: string, error: unknown, code: number | undefined): GreenroomError {
  if (error instanceof GreenroomError) return error;
  if (code !== undefined && ALL_STORE_FULL.includes(code)) {
    return new GreenroomError(
      "storage_full",
      `${doing}: the store is full. Raise NATS's max_file_store or shorten how long things are kept.`,
      { cause: error },
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new GreenroomError("storage_unavailable", `${doing}: NATS said "${reason}".`, { cause: error });
}
