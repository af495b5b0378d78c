// Keeps the bucket of rollups consistent with the session records.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { rollups } from "../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { Rollup } from "../../libs/contracts/fleet/pool.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { buildRollups, endedMinute } from "./rollup.ts";

const MAX_TRIES = 5;

export class RollupWriter {
  readonly #bus: Bus;
  /** Minutes whose rollup may be behind, with the number of notes. */
  readonly #behind = new Map<string, number>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Marks the minute of an ended session as behind. */
  note(record: SessionRecord): void {
    const minute = endedMinute(record);
    if (minute !== undefined) this.#behind.set(minute, (this.#behind.get(minute) ?? 0) + 1);
  }

  /** Whether a record is certainly in the rollup of its minute. */
  has(record: SessionRecord): boolean {
    return !this.#behind.has(endedMinute(record) ?? "");
  }

  /** Rebuilds the minutes that are behind. @throws GreenroomError storage_unavailable */
  async write(records: () => readonly SessionRecord[]): Promise<void> {
    const due = new Map(this.#behind);
    if (due.size === 0) return;
    for (const rollup of buildRollups(records().filter((record) => due.has(endedMinute(record) ?? ""))))
      await this.#store(rollup);
    for (const [minute, noted] of due) {
      // A session that was noted during the write may be missing in the rollup.
      if (this.#behind.get(minute) === noted) this.#behind.delete(minute);
    }
  }

  /** A rollup with more sessions wins: the other writer saw less, or wrote after records were purged. */
  async #store(rollup: Rollup): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { value, revision } = await getOwn(this.#bus, rollups, rollups.keyOf(rollup));
      if (value !== undefined && value.sessions > rollup.sessions) return;
      if (JSON.stringify(value) === JSON.stringify(rollup)) return;
      if ((await this.#bus.kv.update(rollups, rollup, revision)) !== undefined) return;
    }
    // The minute stays behind and is rebuilt, since records are only purged once they are in their rollup.
    throw new GreenroomError(
      "storage_unavailable",
      `Failed to store the rollup ${rollups.keyOf(rollup)}: other writes were faster ${MAX_TRIES} times.`,
    );
  }
}
