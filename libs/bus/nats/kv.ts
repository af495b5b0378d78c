// Key-value buckets on JetStream.
import type { KV, KvEntry } from "nats";
import type { Bucket } from "../../contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import {
  type Ack,
  type Change,
  type ConsumeOptions,
  type Delivery,
  type Entry,
  type KeyValue,
  type Stop,
  UnreadableRecord,
} from "../bus.ts";
import { decodeChange, decodeRecord, encode, subjectOfKey } from "../codec.ts";
import { deleteKey, type Keys, updateKey } from "../compare-and-set.ts";
import type { DeliveryContext } from "../process-delivery.ts";
import type { JetStream } from "./connection.ts";
import { deleteMarkerHeaders, isDeleteMarker, ttlHeaders } from "./delete-markers.ts";
import { consumeDurable } from "./durable.ts";
import { apiCode, storageError } from "./errors.ts";
import { storedFrom } from "./read.ts";
import { readKeys } from "./read-keys.ts";
import { NatsWatches } from "./watch.ts";

export class NatsKeyValue implements KeyValue {
  readonly #jetstream: JetStream;
  readonly #deadLetter: DeliveryContext<unknown>["deadLetter"];
  readonly #buckets = new Map<string, Promise<KV>>();
  readonly #watches: NatsWatches;

  /** @param deadLetter stores a dead letter */
  constructor(jetstream: JetStream, deadLetter: DeliveryContext<unknown>["deadLetter"]) {
    this.#jetstream = jetstream;
    this.#deadLetter = deadLetter;
    this.#watches = new NatsWatches(jetstream);
  }

  async get<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined> {
    const doing = `reading ${bucket.name}/${key}`;
    try {
      const kv = await this.#open(bucket);
      const entry = await this.#jetstream.link.ask(doing, () => kv.get(key), true);
      if (entry === null || entry.operation !== "PUT") return undefined;
      return entryOf(bucket, entry);
    } catch (error) {
      throw storageError(doing, error);
    }
  }

  async update<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined> {
    const key = bucket.keyOf(value);
    const data = encode(value);
    if (data.length > bucket.maxValueBytes) {
      throw new GreenroomError("payload_too_large", `${bucket.name}/${key} would have ${data.length} bytes.`);
    }
    const keys = await this.#keys(bucket, `updating ${bucket.name}/${key}`, bucket.valueTtlMs?.(value));
    return updateKey(keys, key, data, revision);
  }

  async delete<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    return deleteKey(await this.#keys(bucket, `deleting ${bucket.name}/${key}`), key, revision);
  }

  async entries<T>(bucket: Bucket<T>, filter?: string): Promise<Entry<T>[]> {
    if (filter !== undefined) return this.#matchingEntries(bucket, filter);
    const found = new Map<string, Entry<T>>();
    const stop = await this.watch(bucket, ({ key, value, revision }) => {
      if (value === undefined) found.delete(key);
      else found.set(key, { key, value, revision });
    });
    await stop();
    return [...found.values()];
  }

  /** Asks the leader for one revision after the other. The client's own method fails when a replica lags. */
  async history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]> {
    const { link, manager } = this.#jetstream;
    const doing = `reading the history of ${bucket.name}/${key}`;
    const subject = subjectOfKey(bucket, key);
    const found: Entry<T>[] = [];
    for (let next = 1; ; ) {
      const from = next;
      const stored = await link
        .ask(doing, () => storedFrom(manager, `KV_${bucket.name}`, subject, from), true)
        .catch((error: unknown) => {
          throw storageError(doing, error);
        });
      if (stored === undefined) return found;
      const { seq: revision, data: value, header } = stored;
      if (!isDeleteMarker(header)) found.push(entryOf(bucket, { key, value, revision }));
      next = revision + 1;
    }
  }

  async watch<T>(bucket: Bucket<T>, handle: (change: Change<T>) => void): Promise<Stop> {
    try {
      return await this.#watches.watch(bucket, handle);
    } catch (error) {
      throw storageError(`watching ${bucket.name}`, error);
    }
  }

  consume<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Ack>,
  ): Promise<Stop> {
    return consumeDurable(this.#jetstream, subjectOfKey(bucket, ">"), {
      stream: `KV_${bucket.name}`,
      decode: (message) => decodeChange(bucket, message),
      options,
      handle,
      deadLetter: this.#deadLetter,
      log: this.#jetstream.log,
      now: Date.now,
    });
  }

  async #matchingEntries<T>(bucket: Bucket<T>, filter: string): Promise<Entry<T>[]> {
    const { link, manager, log } = this.#jetstream;
    const doing = `listing ${bucket.name}/${filter}`;
    const read = () => readKeys(link, manager, { bucket, filter });
    const entries = await link.ask(doing, read, true).catch((error: unknown) => {
      throw storageError(doing, error);
    });
    const found: Entry<T>[] = [];
    for (const { key, revision, data } of entries) {
      if (data === undefined) continue;
      try {
        found.push({ key, value: decodeRecord(bucket, data, key), revision });
      } catch (error) {
        log.error({ error }, "skipped an unreadable record");
      }
    }
    return found;
  }

  /**
   * The bucket's keys for `compare-and-set.ts`.
   * @param ttlMs the time to live of a written value; undefined for the bucket's
   */
  async #keys<T>(bucket: Bucket<T>, doing: string, ttlMs?: number): Promise<Keys> {
    const { link, js } = this.#jetstream;
    const kv = await this.#open(bucket);
    // A write that may have happened is not repeated here: reading the key tells whether it did.
    const write = <R>(work: () => Promise<R>) => link.ask(doing, work, false);
    const purge = (key: string, revision: number) =>
      js.publish(subjectOfKey(bucket, key), undefined, {
        headers: deleteMarkerHeaders(),
        expect: { lastSubjectSequence: revision },
      });
    // The client's own method has no time to live (NATS ADR-48).
    const putFor = async (key: string, data: Uint8Array, revision: number, ms: number) => {
      const options = { headers: ttlHeaders(ms), expect: { lastSubjectSequence: revision } };
      return (await js.publish(subjectOfKey(bucket, key), data, options)).seq;
    };
    return {
      put: (key, data, revision) =>
        write(() =>
          ttlMs === undefined
            ? kv.put(key, data, { previousSeq: revision })
            : putFor(key, data, revision, ttlMs),
        ),
      purge: (key, revision) => write(() => purge(key, revision)),
      newest: async (key) => {
        const entry = await link.ask(doing, () => kv.get(key), true);
        if (entry === null) return undefined;
        return { revision: entry.revision, data: entry.operation === "PUT" ? entry.value : undefined };
      },
      codeOf: apiCode,
      storageError: (error) => storageError(doing, error),
    };
  }

  #open<T>(bucket: Bucket<T>): Promise<KV> {
    let opened = this.#buckets.get(bucket.name);
    if (opened === undefined) {
      const { link, js } = this.#jetstream;
      const doing = `opening the bucket ${bucket.name}`;
      const open = () => js.views.kv(bucket.name, { bindOnly: true });
      opened = link.ask(doing, open, true).catch((error: unknown) => {
        this.#buckets.delete(bucket.name);
        throw storageError(doing, error);
      });
      this.#buckets.set(bucket.name, opened);
    }
    return opened;
  }
}

function entryOf<T>(
  bucket: Bucket<T>,
  { key, value, revision }: Pick<KvEntry, "key" | "value" | "revision">,
): Entry<T> {
  try {
    return { key, value: decodeRecord(bucket, value, key), revision };
  } catch (error) {
    throw new UnreadableRecord(revision, messageOf(error));
  }
}
