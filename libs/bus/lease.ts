// The ownership of one record: its owner alone writes it, until another instance takes it over.
import type { Bucket } from "../contracts/buckets.ts";
import type { Clock } from "../runtime/clock.ts";
import { createKeyedQueue } from "../runtime/keyed-queue.ts";
import type { Bus } from "./bus.ts";

export interface LeaseRules<T> {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly bucket: Bucket<T>;
  /** Marks a record for a write, for example with a new heartbeat and write id. */
  readonly stamp: (record: T) => T;
  /** Whether a stored record still belongs to the owner of `held`. */
  readonly isOwn: (stored: T, held: T) => boolean;
}

/** Whether `instance` may acquire a record: it has no owner, is its own, or its owner has been silent for too long. */
export const mayAcquire = (
  owner: string | undefined,
  instance: string,
  silentMs: number,
  deadAfterMs: number,
): boolean => owner === undefined || owner === instance || silentMs >= deadAfterMs;

export class Lease<T> {
  readonly #rules: LeaseRules<T>;
  readonly #inTurn = createKeyedQueue();
  #record: T;
  #revision: number;
  /** The last time at which the record is known to have been this owner's. */
  #heldAtMs: number;
  /** Another owner has written the record: this one must not act on it any more. */
  isLost = false;

  /** @param heldAtMs when the write of this revision began, or when the revision was first seen */
  constructor(rules: LeaseRules<T>, record: T, revision: number, heldAtMs: number) {
    this.#rules = rules;
    this.#record = record;
    this.#revision = revision;
    this.#heldAtMs = heldAtMs;
  }

  /**
   * Writes a record that names its new owner over `revision` (0: no record exists).
   * @returns undefined when another write was faster
   * @throws GreenroomError storage_full, storage_unavailable
   */
  static async acquire<T>(rules: LeaseRules<T>, record: T, revision: number): Promise<Lease<T> | undefined> {
    const beganAtMs = rules.clock.monotonic();
    const saved = await rules.bus.kv.update(rules.bucket, record, revision);
    return saved === undefined ? undefined : new Lease(rules, record, saved, beganAtMs);
  }

  get record(): T {
    return this.#record;
  }

  /**
   * Writes a change of the record; calls are executed one after another.
   * @returns false when the lease is lost, or when an earlier write whose answer was lost turned out to be stored.
   *   In the second case `record` is that write.
   * @throws GreenroomError storage_full, storage_unavailable
   */
  save(change: (record: T) => T): Promise<boolean> {
    const { bus, bucket, clock, stamp } = this.#rules;
    return this.#inTurn("record", async () => {
      if (this.isLost) return false;
      const beganAtMs = clock.monotonic();
      const next = stamp(change(this.#record));
      const revision = await bus.kv.update(bucket, next, this.#revision);
      if (revision === undefined) await this.#readAgain();
      else this.#hold(next, revision, beganAtMs);
      return revision !== undefined;
    });
  }

  /**
   * Whether the record is still this owner's; reads it when the last proof is older than `maxAgeMs`. An owner that
   * was paused for long may have been taken for dead without knowing it.
   */
  async isHeld(maxAgeMs: number): Promise<boolean> {
    const { bus, bucket, clock } = this.#rules;
    while (!this.isLost && clock.monotonic() - this.#heldAtMs > maxAgeMs) {
      const askedAtMs = clock.monotonic();
      const stored = await bus.kv.get(bucket, bucket.keyOf(this.#record));
      if (stored?.revision === this.#revision) this.#heldAtMs = askedAtMs;
      else this.isLost = true;
    }
    return !this.isLost;
  }

  /** Another owner wrote the record at `revision`. */
  supersede(revision: number): void {
    if (revision > this.#revision) this.isLost = true;
  }

  async #readAgain(): Promise<void> {
    const { bus, bucket, clock, isOwn } = this.#rules;
    const askedAtMs = clock.monotonic();
    const stored = await bus.kv.get(bucket, bucket.keyOf(this.#record));
    if (stored === undefined || !isOwn(stored.value, this.#record)) this.isLost = true;
    else if (stored.revision > this.#revision) this.#hold(stored.value, stored.revision, askedAtMs);
  }

  #hold(record: T, revision: number, heldAtMs: number): void {
    this.#record = record;
    this.#revision = revision;
    this.#heldAtMs = heldAtMs;
  }
}
