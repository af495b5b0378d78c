// Buckets for one client of the memory server.
import {
  type Ack,
  type Change,
  type ConsumeOptions,
  type Delivery,
  type Entry,
  type KeyValue,
  type Stop,
  UnreadableRecord,
} from "../../../libs/bus/bus.ts";
import { decodeChange, decodeRecord, encode } from "../../../libs/bus/codec.ts";
import { deleteKey, type Keys, updateKey } from "../../../libs/bus/compare-and-set.ts";
import { storageErrorOf } from "../../../libs/bus/jetstream-errors.ts";
import type { Bucket } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
import type { Link } from "./connection.ts";
import type { Consuming } from "./consuming.ts";
import { apiCode } from "./replication.ts";
import type { Requests } from "./requests.ts";
import { bucketOf, type MemoryWorld } from "./shared.ts";
import { subjectMatches } from "./streams.ts";
import { readOnce } from "./values.ts";
import type { Revision, Watcher } from "./watcher.ts";

export class MemoryKeyValue implements KeyValue {
  readonly #world: MemoryWorld;
  readonly #link: Link;
  readonly #requests: Requests;
  readonly #consuming: Consuming;

  constructor(world: MemoryWorld, link: Link, requests: Requests, consuming: Consuming) {
    this.#world = world;
    this.#link = link;
    this.#requests = requests;
    this.#consuming = consuming;
  }

  async get<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined> {
    const doing = `reading ${bucket.name}/${key}`;
    const found = await this.#newest(bucket, key, doing);
    return found?.data === undefined ? undefined : entryOf(bucket, found);
  }

  async update<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined> {
    const key = bucket.keyOf(value);
    const data = encode(value);
    if (data.length > bucket.maxValueBytes) {
      throw new GreenroomError("payload_too_large", `${bucket.name}/${key} would have ${data.length} bytes.`);
    }
    const keys = this.#keys(bucket, `updating ${bucket.name}/${key}`, bucket.valueTtlMs?.(value));
    return updateKey(keys, key, data, revision);
  }

  async delete<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    return deleteKey(this.#keys(bucket, `deleting ${bucket.name}/${key}`), key, revision);
  }

  async entries<T>(bucket: Bucket<T>, filter = ">"): Promise<Entry<T>[]> {
    const found = await this.#requests.read(`listing ${bucket.name}/${filter}`, () =>
      bucketOf(this.#world, bucket)
        .snapshot()
        .filter(({ key }) => subjectMatches(filter, key)),
    );
    const entries: Entry<T>[] = [];
    for (const revision of found) {
      this.#pass(bucket, revision, ({ key, value, revision }) => {
        if (value !== undefined) entries.push({ key, value, revision });
      });
    }
    return entries;
  }

  async history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]> {
    const doing = `reading the history of ${bucket.name}/${key}`;
    const found = await this.#requests.read(doing, () => [...bucketOf(this.#world, bucket).history(key)]);
    return found.filter(({ data }) => data !== undefined).map((revision) => entryOf(bucket, revision));
  }

  async watch<T>(bucket: Bucket<T>, handle: (change: Change<T>) => void): Promise<Stop> {
    const watched = bucketOf(this.#world, bucket);
    let isStopped = false;
    const passOne = (revision: Revision) => {
      if (!isStopped) this.#pass(bucket, revision, handle);
    };
    // Changes that are written while the first answer is in transit must follow it.
    let early: Revision[] | undefined = [];
    let watcher: Watcher | undefined;
    const unwatch = () => {
      isStopped = true;
      if (watcher !== undefined) watched.unwatch(watcher);
    };
    const begin = () => {
      watcher = watched.watch(this.#link, (revision) => {
        if (early === undefined) passOne(revision);
        else early.push(revision);
      });
      return watched.snapshot();
    };
    let present: Revision[];
    try {
      present = await this.#requests.read(`watching ${bucket.name}`, begin);
    } catch (error) {
      unwatch();
      throw error;
    }
    for (const revision of present) passOne(revision);
    for (const revision of early) passOne(revision);
    early = undefined;
    return async () => unwatch();
  }

  consume<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Ack>,
  ): Promise<Stop> {
    return this.#consuming.consume({
      stream: `KV_${bucket.name}`,
      decode: (message) => decodeChange(bucket, message, recordOf),
      options,
      handle,
      isLeaderless: () => this.#world.fates.faults().leaderless,
      consumer: () => bucketOf(this.#world, bucket).consumer(options.durable),
    });
  }

  /** The bucket's keys for `compare-and-set.ts`. */
  #keys<T>(bucket: Bucket<T>, doing: string, ttlMs?: number): Keys {
    const target = bucketOf(this.#world, bucket);
    return this.#world.changeKeys({
      put: (key, data, revision) => this.#requests.write(doing, () => target.put(key, data, revision, ttlMs)),
      purge: (key, revision) => this.#requests.write(doing, () => target.purge(key, revision)),
      newest: (key) => this.#newest(bucket, key, doing),
      codeOf: apiCode,
      storageError: (error) => storageErrorOf(doing, error, apiCode(error)),
    });
  }

  #newest<T>(bucket: Bucket<T>, key: string, doing: string): Promise<Revision | undefined> {
    return this.#requests.read(doing, () => bucketOf(this.#world, bucket).newest(key));
  }

  #pass<T>(bucket: Bucket<T>, { key, revision, data }: Revision, handle: (change: Change<T>) => void): void {
    if (data === undefined) {
      handle({ key, revision, value: undefined });
      return;
    }
    let value: T;
    try {
      value = recordOf(bucket, data, key);
    } catch (error) {
      this.#world.log.error({ error }, "skipped an unreadable record");
      return;
    }
    handle({ key, revision, value });
  }
}

function entryOf<T>(bucket: Bucket<T>, { key, revision, data }: Revision): Entry<T> {
  try {
    return { key, revision, value: recordOf(bucket, data as Uint8Array, key) };
  } catch (error) {
    throw new UnreadableRecord(revision, messageOf(error));
  }
}

const recordOf = <T>(bucket: Bucket<T>, data: Uint8Array, key: string): T =>
  readOnce(data, bucket, () => decodeRecord(bucket, data, key));
