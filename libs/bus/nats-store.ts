// Records in KV buckets on JetStream: reading, compare-and-set, watching.
import { type JetStreamClient, type KV, type KvEntry, KvWatchInclude } from "nats";
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import { deferred } from "../process/deferred.ts";
import type { Log } from "../process/log.ts";
import type { Change, Entry, Stop } from "./bus.ts";
import { decode, encode } from "./codec.ts";
import { isConflict, storageError } from "./nats-errors.ts";

export class NatsStore {
  readonly #js: JetStreamClient;
  readonly #log: Log;
  readonly #buckets = new Map<string, Promise<KV>>();

  constructor(js: JetStreamClient, log: Log) {
    this.#js = js;
    this.#log = log;
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

  /**
   * The client's own watch ends at some errors, so it is begun again until stopped. Keys that vanished in
   * between are told as deleted: a cache that is fed by this never keeps a ghost.
   */
  async watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    const kv = await this.#open(bucket);
    const known = new Map<string, number>();
    const tell = (change: Change<T>) => {
      if (change.value === undefined) known.delete(change.key);
      else known.set(change.key, change.revision);
      see(change);
    };
    let stopped = false;
    let current = await this.#watchOnce(kv, bucket, tell).catch((error: unknown) => {
      throw storageError(`watching ${bucket.name}`, error);
    });
    const keepWatching = async () => {
      while (!stopped) {
        const error = await current.ended;
        if (stopped) return;
        this.#log.warn({ error, bucket: bucket.name }, "watching stopped; it starts again in a second");
        await new Promise((resolve) => setTimeout(resolve, 1000));
        const before = new Map(known);
        const seen = new Set<string>();
        const again = await this.#watchOnce(kv, bucket, (change) => {
          seen.add(change.key);
          tell(change);
        }).catch(() => undefined);
        if (again === undefined) continue;
        current = again;
        for (const [key, revision] of before) {
          if (!seen.has(key) && known.get(key) === revision) tell({ key, value: undefined, revision });
        }
      }
    };
    void keepWatching();
    return async () => {
      stopped = true;
      current.stop();
      await current.ended;
    };
  }

  /** One run of the client's watch; answers when everything that was there has been told. */
  async #watchOnce<T>(kv: KV, bucket: Bucket<T>, see: (change: Change<T>) => void) {
    const initialized = deferred<void>();
    const iterator = await kv.watch({
      include: KvWatchInclude.LastValue,
      initializedFn: initialized.resolve,
    });
    const caughtUp = deferred<void>();
    let processed = 0;
    let goal = Number.POSITIVE_INFINITY;
    const check = () => {
      if (processed >= goal) caughtUp.resolve();
    };
    const ended = (async () => {
      for await (const entry of iterator) {
        this.#tell(bucket, entry, see);
        processed += 1;
        check();
      }
    })().then(
      () => undefined,
      (error: unknown) => error,
    );
    // The client may call back while entries still wait in its queue; those belong to what was there.
    initialized.promise.then(() => {
      goal = iterator.getReceived();
      check();
    });
    const failed = await Promise.race([
      caughtUp.promise.then(() => undefined),
      ended.then((error) => ({ error })),
    ]);
    if (failed !== undefined) throw failed.error ?? new Error("the watch ended before it had begun");
    return { ended, stop: () => iterator.stop() };
  }

  #tell<T>(bucket: Bucket<T>, entry: KvEntry, see: (change: Change<T>) => void): void {
    const { key, revision } = entry;
    if (entry.operation !== "PUT") {
      see({ key, revision, value: undefined });
      return;
    }
    let value: T;
    try {
      value = decode(bucket.schema, entry.value, `${bucket.name}/${key}`);
    } catch (error) {
      this.#log.error({ error }, "a record in the store is of no known shape; it is passed over");
      return;
    }
    see({ key, revision, value });
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
