// Writes a key by compare-and-set, and interprets JetStream's answers. The same on NATS and in memory.
import type { GreenroomError } from "../contracts/errors.ts";
import { isConflictCode } from "./jetstream-errors.ts";

/** The newest revision of a key; `data` is undefined for a delete marker. */
export interface StoredValue {
  readonly revision: number;
  readonly data: Uint8Array | undefined;
}

/** The operations of JetStream on one bucket. */
export interface Keys {
  /** @returns the new revision. @throws the errors of JetStream and of the connection */
  put(key: string, data: Uint8Array, revision: number): Promise<number>;
  purge(key: string, revision: number): Promise<unknown>;
  newest(key: string): Promise<StoredValue | undefined>;
  /** JetStream's code of an error, if JetStream returned it. */
  codeOf(error: unknown): number | undefined;
  storageError(error: unknown): GreenroomError;
}

/**
 * Updates a key if it is still at `revision`.
 *
 * After any error the key is read again: if it holds this very value, the write did happen. If it does not, the
 * write did not happen after a conflict, and is unknown after other errors. One replica and three answer with
 * different codes, and three also refuse while another write is in flight that may still fail. Then nobody may have
 * won: undefined only means that this write did not happen, and the caller reads and tries again.
 *
 * @returns the new revision, or undefined when this write certainly did not happen
 */
export async function updateKey(
  keys: Keys,
  key: string,
  data: Uint8Array,
  revision: number,
): Promise<number | undefined> {
  try {
    return await keys.put(key, data, revision);
  } catch (error) {
    const present = await keys.newest(key).catch((readError: unknown) => {
      throw keys.storageError(readError);
    });
    if (present?.data !== undefined && Buffer.compare(present.data, data) === 0) return present.revision;
    if (!isConflictCode(keys.codeOf(error))) throw keys.storageError(error);
    if (revision !== 0 || present === undefined || present.data !== undefined) return undefined;
    // The key was deleted: a new value has to follow the delete marker. The client's own `create` does that too,
    // but mistakes the answer of a replicated stream for another error.
    return updateKey(keys, key, data, present.revision);
  }
}

/** Deletes a key if it is still at `revision`; false when it is not. */
export async function deleteKey(keys: Keys, key: string, revision: number): Promise<boolean> {
  // To the client, 0 means any revision.
  if (revision === 0) return false;
  try {
    await keys.purge(key, revision);
    return true;
  } catch (error) {
    if (isConflictCode(keys.codeOf(error))) return false;
    throw keys.storageError(error);
  }
}
