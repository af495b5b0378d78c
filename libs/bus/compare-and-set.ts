// Writing a key by compare-and-set: what is made of each answer of JetStream. The same on NATS and in memory.
import type { GreenroomError } from "../contracts/errors.ts";
import { isConflictCode } from "./jetstream-errors.ts";

/** What stands at a key; `data` is undefined for the mark that a deletion leaves. */
export interface StoredValue {
  readonly revision: number;
  readonly data: Uint8Array | undefined;
}

/** One bucket as JetStream answers for it. */
export interface Keys {
  /** @returns the new revision. @throws whatever JetStream or the way to it says */
  put(key: string, data: Uint8Array, revision: number): Promise<number>;
  purge(key: string, revision: number): Promise<unknown>;
  newest(key: string): Promise<StoredValue | undefined>;
  /** JetStream's number of an error, when it has one. */
  codeOf(error: unknown): number | undefined;
  /** An error in the words that callers handle. */
  wordsFor(error: unknown): GreenroomError;
}

/**
 * Saves a value if its key still stands at `revision`.
 *
 * After any error the key is read again: if what stands there is our own value, the write did happen. After a
 * conflict it certainly didn't, if it isn't there; after anything else nobody knows. One replica and three
 * answer with different numbers, and three also refuse while another write is in flight: then nobody may have
 * won at all, and the caller, who was only told that this write didn't happen, looks and tries again.
 *
 * @returns the new revision, or undefined when this write certainly didn't happen
 */
export async function saveKey(
  keys: Keys,
  key: string,
  data: Uint8Array,
  revision: number,
): Promise<number | undefined> {
  try {
    return await keys.put(key, data, revision);
  } catch (error) {
    const present = await keys.newest(key).catch((readError: unknown) => {
      throw keys.wordsFor(readError);
    });
    if (present?.data !== undefined && Buffer.compare(present.data, data) === 0) return present.revision;
    if (!isConflictCode(keys.codeOf(error))) throw keys.wordsFor(error);
    if (revision !== 0 || present === undefined || present.data !== undefined) return undefined;
    // The key was deleted: a new value has to follow the mark that this left. The client's own `create` does
    // so too, but takes the answer of a replicated stream for another error.
    return saveKey(keys, key, data, present.revision);
  }
}

/** Deletes a key, if it still stands at `revision`; false when it doesn't. */
export async function removeKey(keys: Keys, key: string, revision: number): Promise<boolean> {
  // To the client, 0 means "whatever stands there".
  if (revision === 0) return false;
  try {
    await keys.purge(key, revision);
    return true;
  } catch (error) {
    if (isConflictCode(keys.codeOf(error))) return false;
    throw keys.wordsFor(error);
  }
}
