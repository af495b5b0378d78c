// Keeps the bucket of roll-ups true to the records.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { rollups } from "../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { Rollup } from "../../libs/contracts/fleet/pool.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { buildRollups, endedMinute } from "./rollup.ts";

const MAX_TRIES = 5;

export class RollupWriter {
  readonly #bus: Bus;
  /** Minutes whose roll-up may be behind, with how often that was noted. */
  readonly #behind = new Map<string, number>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** A record was seen. If it has ended, its minute is to be made again. */
  note(record: SessionRecord): void {
    const minute = endedMinute(record);
    if (minute !== undefined) this.#behind.set(minute, (this.#behind.get(minute) ?? 0) + 1);
  }

  /** Whether a record is in its minute's roll-up for sure. */
  has(record: SessionRecord): boolean {
    return !this.#behind.has(endedMinute(record) ?? "");
  }

  /** Makes what is behind from the records there are now. @throws GreenroomError storage_unavailable */
  async write(records: () => readonly SessionRecord[]): Promise<void> {
    const due = new Map(this.#behind);
    if (due.size === 0) return;
    for (const rollup of buildRollups(records().filter((record) => due.has(endedMinute(record) ?? ""))))
      await this.#store(rollup);
    for (const [minute, noted] of due) {
      // Another session of that minute, that ended while this was written, is not in it.
      if (this.#behind.get(minute) === noted) this.#behind.delete(minute);
    }
  }

  /** Of two for one minute the fuller one is right: the other saw less, or came when records were purged. */
  async #store(rollup: Rollup): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { value, revision } = await getOwn(this.#bus, rollups, rollups.keyOf(rollup));
      if (value !== undefined && value.sessions > rollup.sessions) return;
      if (JSON.stringify(value) === JSON.stringify(rollup)) return;
      if ((await this.#bus.kv.update(rollups, rollup, revision)) !== undefined) return;
    }
    // Its minute stays behind and is made again: records are only purged once they are in their roll-up.
    throw new GreenroomError(
      "storage_unavailable",
      `The roll-up ${rollups.keyOf(rollup)} was written by others ${MAX_TRIES} times while it was made.`,
    );
  }
}
