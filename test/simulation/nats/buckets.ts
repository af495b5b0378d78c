// Buckets of the memory server: revisions, compare-and-set, watchers.

import { subjectOfKey } from "../../../libs/bus/codec.ts";
import { DELETE_MARKER_TTL_MS } from "../../../libs/bus/delivery-rules.ts";
import {
  STORE_FULL,
  WRONG_LAST_SEQUENCE,
  WRONG_LAST_SEQUENCE_REPLICATED,
} from "../../../libs/bus/jetstream-errors.ts";
import { allBuckets, type Bucket } from "../../../libs/contracts/buckets.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Link } from "./connection.ts";
import { MemoryConsumer, type Source, type StoredMessage } from "./consumer.ts";
import type { Fates } from "./faults.ts";
import { ApiError, type Replicas, Replication } from "./replication.ts";
import { subjectMatches } from "./streams.ts";
import { type Revision, Watcher } from "./watcher.ts";

const NOTHING = new Uint8Array();

/** A bucket: a stream of revisions with one sequence for all of its keys. */
export class MemoryBucket {
  readonly #bucket: Bucket<never>;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #log: Revision[] = [];
  /** The stored revisions of each key, oldest first. */
  readonly #kept = new Map<string, Revision[]>();
  readonly #watchers = new Set<Watcher>();
  readonly #consumers = new Map<string, MemoryConsumer>();
  readonly #replication: Replication;
  /** The revision of each successful write, by the bytes that its caller sent. */
  readonly #done = new WeakMap<Uint8Array, number>();

  constructor(bucket: Bucket<never>, replicas: Replicas, clock: Clock, fates: Fates) {
    this.#bucket = bucket;
    this.#replication = new Replication(replicas, clock, fates);
    this.#clock = clock;
    this.#fates = fates;
  }

  newest(key: string): Revision | undefined {
    return this.history(key).at(-1);
  }

  history(key: string): readonly Revision[] {
    this.#dropExpired(key);
    return this.#kept.get(key) ?? [];
  }

  /** The newest revision of each key, including deletions, in the order of their writing. */
  snapshot(): Revision[] {
    const newest = [...this.#kept.keys()].flatMap((key) => this.newest(key) ?? []);
    return newest.sort((a, b) => a.revision - b.revision);
  }

  /** Every write ever made: for invariants, not for services. */
  everything(): readonly Revision[] {
    return this.#log;
  }

  /** @throws ApiError when the key's newest revision is another, or may soon be */
  put(key: string, data: Uint8Array, expected: number, ttlMs?: number): number | Promise<number> {
    const done = this.#done.get(data);
    // A resent write: three replicas recognize its id, but a single one compares the revision first.
    if (done !== undefined && this.#replication.replicas > 1) return done;
    this.#assertRevision(key, expected);
    if (this.newest(key) === undefined && this.#fates.faults().full) {
      this.#fates.count("full");
      throw new ApiError(STORE_FULL);
    }
    return this.#replication.write(key, () => {
      const revision = this.#append(key, data, ttlMs);
      this.#done.set(data, revision);
      return revision;
    });
  }

  /**
   * Deletes a key's revisions and leaves a delete marker.
   * @param expected like that of `put`; undefined: any revision
   * @throws ApiError like `put`
   */
  purge(key: string, expected?: number): number | Promise<number> {
    if (expected !== undefined) this.#assertRevision(key, expected);
    return this.#replication.write(key, () => {
      this.#kept.delete(key);
      return this.#append(key, undefined);
    });
  }

  /** Starts an election; each write in flight is completed or lost. */
  loseLeader(): void {
    this.#replication.loseLeader();
  }

  /** Ends an election. */
  leads(): void {
    this.#wake();
  }

  /** The number of revisions of each key that matches a filter and has more than a delete marker. */
  purgeable(filter: string): Map<string, number> {
    const found = new Map<string, number>();
    for (const key of [...this.#kept.keys()]) {
      const kept = this.history(key);
      if (kept.length === 0) continue;
      const isOnlyMarker = kept.length === 1 && kept[0]?.data === undefined;
      if (!isOnlyMarker && subjectMatches(filter, key)) found.set(key, kept.length);
    }
    return found;
  }

  /** Returns the consumer with this name; a new one starts at the first stored revision. */
  consumer(durable: string): MemoryConsumer {
    let consumer = this.#consumers.get(durable);
    if (consumer === undefined) {
      const isLeaderless = () => this.#fates.faults().leaderless;
      consumer = new MemoryConsumer(this.#source(), this.#clock, this.#fates, isLeaderless);
      this.#consumers.set(durable, consumer);
    }
    return consumer;
  }

  #source(): Source {
    const log = this.#log;
    const isStored = (revision: Revision | undefined): revision is Revision =>
      revision !== undefined && this.#isStored(revision);
    return {
      after: (sequence) => {
        // The log is zero-based and revisions are one-based.
        for (let index = sequence; index < log.length; index++) {
          const revision = log[index];
          if (isStored(revision)) return this.#asMessage(revision);
        }
        return undefined;
      },
      countAfter: (sequence) => log.slice(sequence).filter(isStored).length,
      has: (sequence) => isStored(log[sequence - 1]),
    };
  }

  /** Delete markers expire; whether one still exists makes no difference to reads and writes. */
  #isStored(revision: Revision): boolean {
    const isOldMarker =
      revision.data === undefined && this.#clock.monotonic() - revision.atMs > DELETE_MARKER_TTL_MS;
    return !isOldMarker && this.history(revision.key).includes(revision);
  }

  #asMessage({ key, revision, data }: Revision): StoredMessage {
    const message = { sequence: revision, subject: subjectOfKey(this.#bucket, key) };
    return data === undefined ? { ...message, data: NOTHING, isDeleteMarker: true } : { ...message, data };
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher.wake();
    for (const consumer of this.#consumers.values()) consumer.handOut();
  }

  #assertRevision(key: string, expected: number): void {
    if (this.#replication.isInFlight(key)) {
      this.#fates.count("refused for a write in flight");
      throw new ApiError(WRONG_LAST_SEQUENCE_REPLICATED);
    }
    if ((this.newest(key)?.revision ?? 0) === expected) return;
    this.#fates.count("lost compare-and-set");
    const isReplicated = this.#replication.replicas > 1 && this.#fates.pick([true, false]);
    throw new ApiError(isReplicated ? WRONG_LAST_SEQUENCE_REPLICATED : WRONG_LAST_SEQUENCE);
  }

  /** @param see is called at the client for each later revision */
  watch(link: Link, see: (revision: Revision) => void): Watcher {
    const watcher = new Watcher(this.#log, link, this.#clock, this.#fates, see, (revision) => {
      return this.newest(revision.key) !== revision;
    });
    this.#watchers.add(watcher);
    link.whenGone(() => this.unwatch(watcher));
    return watcher;
  }

  unwatch(watcher: Watcher): void {
    watcher.stop();
    this.#watchers.delete(watcher);
  }

  #dropExpired(key: string): void {
    const expired = (this.#kept.get(key) ?? []).at(-1)?.expiresAtMs;
    if (expired !== undefined && expired <= this.#clock.monotonic()) this.#kept.delete(key);
  }

  #append(key: string, data: Uint8Array | undefined, ttlMs?: number): number {
    const written: Revision = {
      revision: this.#log.length + 1,
      key,
      data,
      atMs: this.#clock.monotonic(),
      ...(ttlMs === undefined ? {} : { expiresAtMs: this.#clock.monotonic() + ttlMs }),
    };
    this.#log.push(written);
    const kept = this.#kept.get(key) ?? [];
    kept.push(written);
    if (kept.length > this.#bucket.history) kept.shift();
    this.#kept.set(key, kept);
    this.#wake();
    return written.revision;
  }
}

/** Creates every bucket of the contracts, by name. */
export const createMemoryBuckets = (
  replicas: Replicas,
  clock: Clock,
  fates: Fates,
): Map<string, MemoryBucket> =>
  new Map(allBuckets.map((bucket) => [bucket.name, new MemoryBucket(bucket, replicas, clock, fates)]));
