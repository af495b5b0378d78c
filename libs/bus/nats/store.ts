// Records in KV buckets on JetStream: reading and compare-and-set.
import type { JetStreamClient, JetStreamManager, KV, KvEntry } from "nats";
import type { Bucket } from "../../contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import type { Log } from "../../runtime/log.ts";
import {
  type Change,
  type ConsumeOptions,
  type Delivery,
  type Entry,
  type Stop,
  UnreadableRecord,
  type Verdict,
} from "../bus.ts";
import { decodeChange, decodeRecord, encode, subjectOfKey } from "../codec.ts";
import { type Keys, removeKey, saveKey } from "../compare-and-set.ts";
import { type DeliveryContext, processDelivery, type RawDelivery } from "../process-delivery.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { deleteMarkerHeaders } from "./delete-markers.ts";
import { takeFrom } from "./durable.ts";
import { apiCode, storageError } from "./errors.ts";
import { purgeKeys } from "./purge.ts";
import { readKeys } from "./read-keys.ts";
import { NatsWatches } from "./watch.ts";

export class NatsStore {
  readonly #link: ReconnectingConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #log: Log;
  readonly #buckets = new Map<string, Promise<KV>>();
  readonly #watches: NatsWatches;

  constructor(link: ReconnectingConnection, js: JetStreamClient, manager: JetStreamManager, log: Log) {
    this.#link = link;
    this.#js = js;
    this.#manager = manager;
    this.#log = log;
    this.#watches = new NatsWatches(link, manager, log);
  }

  async read<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined> {
    const doing = `reading ${bucket.name}/${key}`;
    try {
      const kv = await this.#open(bucket);
      const entry = await this.#link.ask(doing, () => kv.get(key), true);
      if (entry === null || entry.operation !== "PUT") return undefined;
      return entryOf(bucket, entry);
    } catch (error) {
      throw storageError(doing, error);
    }
  }

  async save<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined> {
    const key = bucket.keyOf(value);
    const data = encode(value);
    if (data.length > bucket.maxValueBytes) {
      throw new GreenroomError("payload_too_large", `${bucket.name}/${key} would have ${data.length} bytes.`);
    }
    return saveKey(await this.#keys(bucket, `saving ${bucket.name}/${key}`), key, data, revision);
  }

  async remove<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    return removeKey(await this.#keys(bucket, `removing ${bucket.name}/${key}`), key, revision);
  }

  async list<T>(bucket: Bucket<T>, filter?: string): Promise<Entry<T>[]> {
    if (filter !== undefined) return this.#listSome(bucket, filter);
    const found = new Map<string, Entry<T>>();
    const stop = await this.watch(bucket, ({ key, value, revision }) => {
      if (value === undefined) found.delete(key);
      else found.set(key, { key, value, revision });
    });
    await stop();
    return [...found.values()];
  }

  async #listSome<T>(bucket: Bucket<T>, filter: string): Promise<Entry<T>[]> {
    const doing = `listing ${bucket.name}/${filter}`;
    const entries = await this.#asking(doing, () => readKeys(this.#link, this.#manager, { bucket, filter }));
    const found: Entry<T>[] = [];
    for (const { key, revision, data } of entries) {
      if (data === undefined) continue;
      try {
        found.push({ key, value: decodeRecord(bucket, data, key), revision });
      } catch (error) {
        this.#log.error({ error }, "a record in the store can't be read; it is passed over");
      }
    }
    return found;
  }

  async history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]> {
    try {
      const kv = await this.#open(bucket);
      const found: Entry<T>[] = [];
      for await (const entry of await kv.history({ key })) {
        if (entry.operation !== "PUT") continue;
        found.push(entryOf(bucket, entry));
      }
      return found;
    } catch (error) {
      throw storageError(`reading the history of ${bucket.name}/${key}`, error);
    }
  }

  async watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    try {
      return await this.#watches.watch(bucket, see);
    } catch (error) {
      throw storageError(`watching ${bucket.name}`, error);
    }
  }

  async purge<T>(bucket: Bucket<T>, filter: string): Promise<number> {
    const purging = { link: this.#link, js: this.#js, manager: this.#manager };
    return await purgeKeys(purging, bucket, filter).catch((error: unknown) => {
      throw storageError(`purging ${bucket.name}/${filter}`, error);
    });
  }

  /** @param bury stores a dead letter */
  async follow<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Verdict>,
    bury: DeliveryContext<T>["bury"],
  ): Promise<Stop> {
    const stream = `KV_${bucket.name}`;
    const settling = {
      stream,
      read: (message: RawDelivery) => decodeChange(bucket, message),
      options,
      handle,
      bury,
      log: this.#log,
      now: Date.now,
    };
    const work = {
      link: this.#link,
      js: this.#js,
      manager: this.#manager,
      stream,
      subjects: subjectOfKey(bucket, ">"),
      options,
      take: (message: RawDelivery) => processDelivery(message, settling),
      log: this.#log,
    };
    return await takeFrom(work).catch((error: unknown) => {
      throw storageError(`following ${bucket.name}`, error);
    });
  }

  #asking<R>(doing: string, work: () => Promise<R>): Promise<R> {
    return this.#link.ask(doing, work, true).catch((error: unknown) => {
      throw storageError(doing, error);
    });
  }

  #purge<T>(bucket: Bucket<T>, key: string, revision: number) {
    return this.#js.publish(subjectOfKey(bucket, key), undefined, {
      headers: deleteMarkerHeaders(),
      expect: { lastSubjectSequence: revision },
    });
  }

  /** The bucket as `compare-and-set.ts` works with it. */
  async #keys<T>(bucket: Bucket<T>, doing: string): Promise<Keys> {
    const kv = await this.#open(bucket);
    // A write that may have happened isn't repeated here: whether it did is seen in what stands there then.
    const write = <R>(work: () => Promise<R>) => this.#link.ask(doing, work, false);
    return {
      put: (key, data, revision) => write(() => kv.put(key, data, { previousSeq: revision })),
      purge: (key, revision) => write(() => this.#purge(bucket, key, revision)),
      newest: async (key) => {
        const entry = await this.#link.ask(doing, () => kv.get(key), true);
        if (entry === null) return undefined;
        return { revision: entry.revision, data: entry.operation === "PUT" ? entry.value : undefined };
      },
      codeOf: apiCode,
      wordsFor: (error) => storageError(doing, error),
    };
  }

  #open<T>(bucket: Bucket<T>): Promise<KV> {
    let opened = this.#buckets.get(bucket.name);
    if (opened === undefined) {
      const doing = `opening the bucket ${bucket.name}`;
      const open = () => this.#js.views.kv(bucket.name, { bindOnly: true });
      opened = this.#link.ask(doing, open, true).catch((error: unknown) => {
        this.#buckets.delete(bucket.name);
        throw storageError(doing, error);
      });
      this.#buckets.set(bucket.name, opened);
    }
    return opened;
  }
}

function entryOf<T>(bucket: Bucket<T>, { key, value, revision }: KvEntry): Entry<T> {
  try {
    return { key, value: decodeRecord(bucket, value, key), revision };
  } catch (error) {
    throw new UnreadableRecord(revision, messageOf(error));
  }
}
