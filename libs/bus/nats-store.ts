// Records in KV buckets on JetStream: reading and compare-and-set.
import type { JetStreamClient, KV, KvEntry, NatsConnection } from "nats";
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import type { Log } from "../process/log.ts";
import type { Change, Entry, Stop } from "./bus.ts";
import { decode, encode } from "./codec.ts";
import { isConflict, storageError } from "./nats-errors.ts";
import { NatsWatches } from "./nats-watch.ts";

export class NatsStore {
  readonly #js: JetStreamClient;
  readonly #buckets = new Map<string, Promise<KV>>();
  readonly #watches: NatsWatches;

  constructor(connection: NatsConnection, js: JetStreamClient, log: Log) {
    this.#js = js;
    this.#watches = new NatsWatches(connection, log);
  }

  async read<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined> {
    try {
      const entry = await (await this.#open(bucket)).get(key);
      if (entry === null || entry.operation !== "PUT") return undefined;
      return {
        key,
        value: decode(bucket.schema, entry.value, `${bucket.name}/${key}`),
        revision: entry.revision,
      };
    } catch (error) {
      throw storageError(`reading ${bucket.name}/${key}`, error);
    }
  }

  async save<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined> {
    const key = bucket.keyOf(value);
    const data = encode(value);
    if (data.length > bucket.maxValueBytes) {
      throw new GreenroomError("payload_too_large", `${bucket.name}/${key} would have ${data.length} bytes.`);
    }
    const kv = await this.#open(bucket);
    try {
      return await kv.put(key, data, { previousSeq: revision });
    } catch (error) {
      return this.#afterFailedSave(kv, bucket, key, data, revision, error);
    }
  }

  /**
   * After any error the key is read again: if what stands there is our own value, the write did happen.
   * After a conflict it certainly didn't, if it isn't there; after anything else nobody knows.
   */
  async #afterFailedSave<T>(
    kv: KV,
    bucket: Bucket<T>,
    key: string,
    data: Uint8Array,
    revision: number,
    error: unknown,
  ): Promise<number | undefined> {
    const doing = `saving ${bucket.name}/${key}`;
    let present: KvEntry | null;
    try {
      present = await kv.get(key);
    } catch (readError) {
      throw storageError(doing, readError);
    }
    if (present?.operation === "PUT" && Buffer.compare(present.value, data) === 0) return present.revision;
    if (!isConflict(error)) throw storageError(doing, error);
    if (revision !== 0 || present === null || present.operation === "PUT") return undefined;
    // The key was deleted: a new value has to follow the mark that this left. The client's own `create` does
    // so too, but takes the answer of a replicated stream for another error.
    const mark = present.revision;
    try {
      return await kv.put(key, data, { previousSeq: mark });
    } catch (again) {
      return this.#afterFailedSave(kv, bucket, key, data, mark, again);
    }
  }

  async remove<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    // To the client, 0 means "whatever stands there".
    if (revision === 0) return false;
    try {
      const kv = await this.#open(bucket);
      await kv.purge(key, { previousSeq: revision });
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw storageError(`removing ${bucket.name}/${key}`, error);
    }
  }

  async list<T>(bucket: Bucket<T>): Promise<Entry<T>[]> {
    const found = new Map<string, Entry<T>>();
    const stop = await this.watch(bucket, ({ key, value, revision }) => {
      if (value === undefined) found.delete(key);
      else found.set(key, { key, value, revision });
    });
    await stop();
    return [...found.values()];
  }

  async history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]> {
    try {
      const kv = await this.#open(bucket);
      const found: Entry<T>[] = [];
      for await (const entry of await kv.history({ key })) {
        if (entry.operation !== "PUT") continue;
        found.push({
          key,
          value: decode(bucket.schema, entry.value, `${bucket.name}/${key}`),
          revision: entry.revision,
        });
      }
      return found;
    } catch (error) {
      throw storageError(`reading the history of ${bucket.name}/${key}`, error);
    }
  }

  /** To be called when the connection is back. */
  reconnected(): void {
    this.#watches.reconnected();
  }

  async watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    try {
      return await this.#watches.watch(await this.#open(bucket), bucket, see);
    } catch (error) {
      throw storageError(`watching ${bucket.name}`, error);
    }
  }

  #open<T>(bucket: Bucket<T>): Promise<KV> {
    let opened = this.#buckets.get(bucket.name);
    if (opened === undefined) {
      opened = this.#js.views.kv(bucket.name, { bindOnly: true }).catch((error: unknown) => {
        this.#buckets.delete(bucket.name);
        throw storageError(`opening the bucket ${bucket.name}`, error);
      });
      this.#buckets.set(bucket.name, opened);
    }
    return opened;
  }
}
