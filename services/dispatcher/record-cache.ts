// The session records that a dispatcher wrote last. A cached record saves a read, and may be out of date.
import type { Versioned, VersionedCache } from "../../libs/bus/event-loop.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

/** Owned by one dispatcher. A record goes when its session ends, or when newer ones take its place. */
export class RecordCache implements VersionedCache<SessionRecord> {
  readonly #limit: number;
  readonly #records = new Map<string, Versioned<SessionRecord>>();

  /** @param limit the number of records; the one that was written longest ago goes first */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): Versioned<SessionRecord> | undefined {
    return this.#records.get(key);
  }

  set(key: string, versioned: Versioned<SessionRecord>): void {
    this.#records.delete(key);
    // No more events are expected for an ended session.
    if (versioned.record.state === "ended") return;
    this.#records.set(key, versioned);
    if (this.#records.size <= this.#limit) return;
    const oldest = this.#records.keys().next();
    if (!oldest.done) this.#records.delete(oldest.value);
  }

  forget(key: string): void {
    this.#records.delete(key);
  }
}
