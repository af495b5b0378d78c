// Buckets of the memory server: revisions, compare-and-set, and who watches them.
import { allBuckets, type Bucket } from "../contracts/buckets.ts";
import type { Clock } from "../process/clock.ts";
import { STORE_FULL, WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_REPLICATED } from "./api-errors.ts";
import type { Standing } from "./compare-and-set.ts";
import type { Fates } from "./memory-faults.ts";
import type { Link } from "./memory-link.ts";
import { ApiError, type Replicas, Replication } from "./memory-replication.ts";

/** One write. `data` is undefined for a deletion. */
export interface Revision extends Standing {
  readonly key: string;
}

/** One bucket: a stream of revisions, numbered through over all of its keys. */
export class MemoryBucket {
  readonly #bucket: Bucket<never>;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #log: Revision[] = [];
  /** What is kept of each key, oldest first. */
  readonly #kept = new Map<string, Revision[]>();
  readonly #watchers = new Set<Watcher>();
  readonly #replication: Replication;
  /** Where each write stands that was done, by the bytes that its caller sent. */
  readonly #done = new WeakMap<Uint8Array, number>();

  constructor(bucket: Bucket<never>, replicas: Replicas, clock: Clock, fates: Fates) {
    this.#bucket = bucket;
    this.#replication = new Replication(replicas, clock, fates);
    this.#clock = clock;
    this.#fates = fates;
  }

  newest(key: string): Revision | undefined {
    return this.#kept.get(key)?.at(-1);
  }

  history(key: string): readonly Revision[] {
    return this.#kept.get(key) ?? [];
  }

  /** The newest revision of each key, deletions too, in the order of their writing. */
  snapshot(): Revision[] {
    const newest = [...this.#kept.values()].map((revisions) => revisions.at(-1) as Revision);
    return newest.sort((a, b) => a.revision - b.revision);
  }

  /** Every write there ever was: for invariants, not for services. */
  everything(): readonly Revision[] {
    return this.#log;
  }

  /** @throws ApiError when the key's newest revision is another, or may soon be */
  put(key: string, data: Uint8Array, expected: number): number | Promise<number> {
    const done = this.#done.get(data);
    // What was sent once more: three replicas know its id, and a single one looks at the revision first.
    if (done !== undefined && this.#replication.replicas > 1) return done;
    this.#demand(key, expected);
    if (this.newest(key) === undefined && this.#fates.faults().full) {
      this.#fates.count("full");
      throw new ApiError(STORE_FULL);
    }
    return this.#replication.write(key, () => {
      const revision = this.#append(key, data);
      this.#done.set(data, revision);
      return revision;
    });
  }

  /** Forgets a key's revisions and leaves a mark. @throws ApiError as `put` does */
  purge(key: string, expected: number): number | Promise<number> {
    this.#demand(key, expected);
    return this.#replication.write(key, () => {
      this.#kept.delete(key);
      return this.#append(key, undefined);
    });
  }

  /** A new leader is looked for; what was in flight is done or lost. */
  loseLeader(): void {
    this.#replication.loseLeader();
  }

  /** To be called when a leader is there again. */
  leads(): void {
    for (const watcher of this.#watchers) watcher.wake();
  }

  #demand(key: string, expected: number): void {
    if (this.#replication.isInFlight(key)) {
      this.#fates.count("refused for a write in flight");
      throw new ApiError(WRONG_LAST_SEQUENCE_REPLICATED);
    }
    if ((this.newest(key)?.revision ?? 0) === expected) return;
    this.#fates.count("lost compare-and-set");
    const isReplicated = this.#replication.replicas > 1 && this.#fates.pick([true, false]);
    throw new ApiError(isReplicated ? WRONG_LAST_SEQUENCE_REPLICATED : WRONG_LAST_SEQUENCE);
  }

  /** @param see is called at the client, for each revision that is written from now on. */
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

  #append(key: string, data: Uint8Array | undefined): number {
    const written: Revision = { revision: this.#log.length + 1, key, data };
    this.#log.push(written);
    const kept = this.#kept.get(key) ?? [];
    kept.push(written);
    if (kept.length > this.#bucket.history) kept.shift();
    this.#kept.set(key, kept);
    for (const watcher of this.#watchers) watcher.wake();
    return written.revision;
  }
}

/**
 * Tells one client the revisions, each key's in order and its newest for certain.
 *
 * What is told is decided when it is sent, at the server; the hop comes on top. A client that was cut off is
 * told from where it stopped, as an ordered consumer of JetStream does.
 */
export class Watcher {
  readonly #log: readonly Revision[];
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #see: (revision: Revision) => void;
  readonly #isSuperseded: (revision: Revision) => boolean;
  /** Revisions up to this one were told, or passed over. */
  #told: number;
  #isBusy = false;
  #isStopped = false;
  readonly #forgetBack: () => void;

  constructor(
    log: readonly Revision[],
    link: Link,
    clock: Clock,
    fates: Fates,
    see: (revision: Revision) => void,
    isSuperseded: (revision: Revision) => boolean,
  ) {
    this.#log = log;
    this.#link = link;
    this.#clock = clock;
    this.#fates = fates;
    this.#see = see;
    this.#isSuperseded = isSuperseded;
    this.#told = log.length;
    this.#forgetBack = link.whenBack(() => this.wake());
  }

  stop(): void {
    this.#isStopped = true;
    this.#forgetBack();
  }

  wake(): void {
    if (this.#isBusy || this.#isStopped || this.#told >= this.#log.length) return;
    if (this.#fates.faults().leaderless) return;
    this.#isBusy = true;
    if (this.#fates.strikes("stale"))
      this.#clock.after(this.#fates.between(0, this.#fates.faults().staleMs), () => this.#send());
    else this.#send();
  }

  #send(): void {
    const from = this.#told;
    const lost = () => {
      // Told again when the client is back.
      this.#isBusy = false;
    };
    this.#link.deliver(() => {
      const upTo = this.#log.length;
      for (let index = from; index < upTo && !this.#isStopped; index++) {
        const revision = this.#log[index] as Revision;
        if (this.#isSuperseded(revision) && this.#fates.strikes("skip")) continue;
        this.#see(revision);
      }
      this.#told = upTo;
      this.#isBusy = false;
      this.wake();
    }, lost);
  }
}

/** Every bucket there is, by name. */
export const createMemoryBuckets = (
  replicas: Replicas,
  clock: Clock,
  fates: Fates,
): Map<string, MemoryBucket> =>
  new Map(allBuckets.map((bucket) => [bucket.name, new MemoryBucket(bucket, replicas, clock, fates)]));
