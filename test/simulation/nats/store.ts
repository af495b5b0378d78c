// Records as one client of the memory server reads and writes them.

import { type Change, type Entry, type Stop, UnreadableRecord } from "../../../libs/bus/bus.ts";
import { decodeRecord, encode } from "../../../libs/bus/codec.ts";
import { type Keys, removeKey, saveKey } from "../../../libs/bus/compare-and-set.ts";
import { storageErrorOf } from "../../../libs/bus/jetstream-errors.ts";
import type { Bucket } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
import type { Link } from "./connection.ts";
import { apiCode } from "./replication.ts";
import type { Asking } from "./requests.ts";
import { bucketOf, type MemoryWorld } from "./shared.ts";
import { subjectMatches } from "./streams.ts";
import { readOnce } from "./values.ts";
import type { Revision, Watcher } from "./watcher.ts";

export class MemoryStore {
  readonly #world: MemoryWorld;
  readonly #link: Link;
  readonly #asking: Asking;

  constructor(world: MemoryWorld, link: Link, asking: Asking) {
    this.#world = world;
    this.#link = link;
    this.#asking = asking;
  }

  async read<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined> {
    const doing = `reading ${bucket.name}/${key}`;
    const found = await this.#newest(bucket, key, doing);
    return found?.data === undefined ? undefined : entryOf(bucket, found);
  }

  async save<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined> {
    const key = bucket.keyOf(value);
    const data = encode(value);
    if (data.length > bucket.maxValueBytes) {
      throw new GreenroomError("payload_too_large", `${bucket.name}/${key} would have ${data.length} bytes.`);
    }
    return saveKey(this.#keys(bucket, `saving ${bucket.name}/${key}`), key, data, revision);
  }

  async remove<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    return removeKey(this.#keys(bucket, `removing ${bucket.name}/${key}`), key, revision);
  }

  /** Key by key, as on NATS: whoever is cut off on the way has purged a part. */
  async purge<T>(bucket: Bucket<T>, filter: string): Promise<number> {
    const doing = `purging ${bucket.name}/${filter}`;
    const asked = bucketOf(this.#world, bucket);
    const found = await this.#asking.read(doing, () => asked.purgeable(filter));
    const purgeOne = (key: string) => this.#asking.write(doing, () => asked.purge(key), true);
    try {
      await Promise.all([...found.keys()].map(purgeOne));
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
    return [...found.values()].reduce((sum, count) => sum + count, 0);
  }

  async list<T>(bucket: Bucket<T>, filter = ">"): Promise<Entry<T>[]> {
    const found = await this.#asking.read(`listing ${bucket.name}/${filter}`, () =>
      bucketOf(this.#world, bucket)
        .snapshot()
        .filter(({ key }) => subjectMatches(filter, key)),
    );
    const entries: Entry<T>[] = [];
    for (const revision of found) {
      this.#tell(bucket, revision, ({ key, value, revision }) => {
        if (value !== undefined) entries.push({ key, value, revision });
      });
    }
    return entries;
  }

  async history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]> {
    const doing = `reading the history of ${bucket.name}/${key}`;
    const found = await this.#asking.read(doing, () => [...bucketOf(this.#world, bucket).history(key)]);
    return found.filter(({ data }) => data !== undefined).map((revision) => entryOf(bucket, revision));
  }

  async watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    const watched = bucketOf(this.#world, bucket);
    let isStopped = false;
    const seeOne = (revision: Revision) => {
      if (!isStopped) this.#tell(bucket, revision, see);
    };
    // What is written while the first answer travels must be told after it.
    let early: Revision[] | undefined = [];
    let watcher: Watcher | undefined;
    const unwatch = () => {
      isStopped = true;
      if (watcher !== undefined) watched.unwatch(watcher);
    };
    const begin = () => {
      watcher = watched.watch(this.#link, (revision) => {
        if (early === undefined) seeOne(revision);
        else early.push(revision);
      });
      return watched.snapshot();
    };
    let present: Revision[];
    try {
      present = await this.#asking.read(`watching ${bucket.name}`, begin);
    } catch (error) {
      unwatch();
      throw error;
    }
    for (const revision of present) seeOne(revision);
    for (const revision of early) seeOne(revision);
    early = undefined;
    return async () => unwatch();
  }

  /** The bucket as `compare-and-set.ts` works with it. */
  #keys<T>(bucket: Bucket<T>, doing: string): Keys {
    const asked = bucketOf(this.#world, bucket);
    return this.#world.changeKeys({
      put: (key, data, revision) => this.#asking.write(doing, () => asked.put(key, data, revision)),
      purge: (key, revision) => this.#asking.write(doing, () => asked.purge(key, revision)),
      newest: (key) => this.#newest(bucket, key, doing),
      codeOf: apiCode,
      wordsFor: (error) => storageErrorOf(doing, error, apiCode(error)),
    });
  }

  #newest<T>(bucket: Bucket<T>, key: string, doing: string): Promise<Revision | undefined> {
    return this.#asking.read(doing, () => bucketOf(this.#world, bucket).newest(key));
  }

  #tell<T>(bucket: Bucket<T>, { key, revision, data }: Revision, see: (change: Change<T>) => void): void {
    if (data === undefined) {
      see({ key, revision, value: undefined });
      return;
    }
    let value: T;
    try {
      value = recordOf(bucket, data, key);
    } catch (error) {
      this.#world.log.error({ error }, "a record in the store can't be read; it is passed over");
      return;
    }
    see({ key, revision, value });
  }
}

function entryOf<T>(bucket: Bucket<T>, { key, revision, data }: Revision): Entry<T> {
  try {
    return { key, revision, value: recordOf(bucket, data as Uint8Array, key) };
  } catch (error) {
    throw new UnreadableRecord(revision, messageOf(error));
  }
}

export const recordOf = <T>(bucket: Bucket<T>, data: Uint8Array, key: string): T =>
  readOnce(data, bucket, () => decodeRecord(bucket, data, key));
