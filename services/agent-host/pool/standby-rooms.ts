// Standby rooms on LiveKit: made for hot agents, deleted when no session took them over.
import { STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { StandbyRoomSource } from "./standby.ts";

/** LiveKit closes a room that no human comes to; a standby room has to last as long as its agent. */
const EMPTY_S = 24 * 60 * 60;
const DEPARTURE_S = 60;
const TOKEN_TTL_S = 60;

export class StandbyRooms implements StandbyRoomSource {
  readonly #livekit: LiveKit;
  readonly #log: Log;
  readonly #deletions = new Set<Promise<void>>();

  constructor(livekit: LiveKit, log: Log) {
    this.#livekit = livekit;
    this.#log = log;
  }

  async make(slot: string): Promise<{ room: string; token: string }> {
    const { rooms, tokens } = this.#livekit;
    const room = `${STANDBY_PREFIX}${slot}`;
    await rooms.create(room, { emptyTimeoutS: EMPTY_S, departureTimeoutS: DEPARTURE_S });
    const token = await tokens.forAgent({ room, identity: `agent-${slot}`, ttlS: TOKEN_TTL_S });
    return { room, token };
  }

  discard(slot: string): void {
    const deletion = this.#livekit.rooms
      .delete(`${STANDBY_PREFIX}${slot}`)
      .catch((error: unknown) => this.#log.debug({ error }, "a standby room is left to the janitor"))
      .finally(() => this.#deletions.delete(deletion));
    this.#deletions.add(deletion);
  }

  /** Waits for the deletions that are under way. */
  async settle(): Promise<void> {
    await Promise.all(this.#deletions);
  }
}
