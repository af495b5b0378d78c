// What a dispatcher wrote last of each session: a guess at what stands in the store, which saves a read.
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

/** A record and where it stands in the store; revision 0 while it isn't there. */
export interface Versioned {
  readonly record: SessionRecord;
  readonly revision: number;
}

export class RecordCache {
  readonly #limit: number;
  readonly #standings = new Map<string, Versioned>();

  /** @param limit sessions remembered; the one that was written longest ago goes first. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): Versioned | undefined {
    return this.#standings.get(key);
  }

  set(key: string, standing: Versioned): void {
    this.#standings.delete(key);
    // Of an ended session nothing more is expected.
    if (standing.record.state === "ended") return;
    this.#standings.set(key, standing);
    if (this.#standings.size <= this.#limit) return;
    const oldest = this.#standings.keys().next();
    if (!oldest.done) this.#standings.delete(oldest.value);
  }

  forget(key: string): void {
    this.#standings.delete(key);
  }
}
