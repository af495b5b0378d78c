// Records as one client of the memory server reads and writes them.
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { type Change, type Entry, type Stop, UnreadableRecord } from "./bus.ts";
import { decodeRecord, encode } from "./codec.ts";
import type { Asking } from "./memory-asking.ts";
import { Conflict, type Revision, type Watcher } from "./memory-buckets.ts";
import type { Link } from "./memory-link.ts";
import { bucketOf, type MemoryWorld } from "./memory-world.ts";

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
    return this.#put(bucket, key, data, revision);
  }

  /** After any error the key is read again, as NatsStore does: our own value there means that it was done. */
  async #put<T>(
    bucket: Bucket<T>,
    key: string,
    data: Uint8Array,
    revision: number,
  ): Promise<number | undefined> {
    const doing = `saving ${bucket.name}/${key}`;
    try {
      return await this.#asking.write(doing, () => bucketOf(this.#world, bucket).put(key, data, revision));
    } catch (error) {
      const present = await this.#newest(bucket, key, doing);
      if (present?.data !== undefined && Buffer.compare(present.data, data) === 0) return present.revision;
      if (!(error instanceof Conflict)) throw error;
      if (revision !== 0 || present === undefined || present.data !== undefined) return undefined;
      // The key was deleted: a new value has to follow the mark that this left.
      return this.#put(bucket, key, data, present.revision);
    }
  }

  async remove<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    try {
      const purge = () => bucketOf(this.#world, bucket).purge(key, revision);
      await this.#asking.write(`removing ${bucket.name}/${key}`, purge);
      return true;
    } catch (error) {
      if (error instanceof Conflict) return false;
      throw error;
    }
  }

  async list<T>(bucket: Bucket<T>): Promise<Entry<T>[]> {
    const found = await this.#asking.read(`listing ${bucket.name}`, () =>
      bucketOf(this.#world, bucket).snapshot(),
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
      value = decodeRecord(bucket, data, key);
    } catch (error) {
      this.#world.log.error({ error }, "a record in the store can't be read; it is passed over");
      return;
    }
    see({ key, revision, value });
  }
}

function entryOf<T>(bucket: Bucket<T>, { key, revision, data }: Revision): Entry<T> {
  try {
    return { key, revision, value: decodeRecord(bucket, data as Uint8Array, key) };
  } catch (error) {
    throw new UnreadableRecord(revision, messageOf(error));
  }
}
