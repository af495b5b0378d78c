// Makes warm agents hot: connects them to a standby room, which becomes the room of the session that they serve.
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { LiveKitRoom } from "../../../libs/contracts/fleet/host.ts";
import { STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { Slot } from "./slots.ts";

interface StandbyRoom {
  readonly room: string;
  readonly token: string;
  readonly liveKitRoom?: LiveKitRoom;
}

export interface StandbyRoomSource {
  /** @throws GreenroomError livekit_unavailable */
  make(slot: string): Promise<StandbyRoom>;
  /** Deletes the room in the background; never throws. */
  discard(slot: string): void;
}

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined without LiveKit: then no agent becomes hot. */
  readonly standby: StandbyRoomSource | undefined;
  readonly onChange: () => void;
}

const MAX_CONNECTING = 4;
const RETRY_MS = 2000;

export class Standby {
  readonly #deps: Deps;
  #cancelPause: (() => void) | undefined;
  /** False once a file is known to connect again, so that a standby room saves no time. */
  isUseful = true;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Connects as many of the warm slots as are missing of `target` hot ones. */
  connectStandby(slots: readonly Slot[], target: number): void {
    if (this.#deps.standby === undefined || this.#cancelPause !== undefined) return;
    // A slot that got a session while it was connecting is busy for a whole call, and never becomes hot.
    const connecting = slots.filter((slot) => slot.isConnectingStandby && slot.state === "warm").length;
    const hot = slots.filter((slot) => slot.state === "hot").length;
    const missing = Math.max(0, Math.min(target - hot - connecting, MAX_CONNECTING - connecting));
    const warm = slots.filter(
      (slot) => slot.state === "warm" && !slot.isConnectingStandby && !slot.process.isUnhealthy,
    );
    for (const slot of warm.slice(0, missing)) this.#connect(slot, this.#deps.standby);
  }

  /** For a file that connects with options of its own. */
  stop(profile: string): void {
    if (!this.isUseful) return;
    this.isUseful = false;
    this.#deps.log.info({ profile }, "the agent connects with options of its own; it is kept warm, not hot");
    this.#deps.onChange();
  }

  succeeded(slot: Slot): void {
    slot.isConnectingStandby = false;
    if (slot.state === "warm") slot.state = "hot";
    this.#deps.onChange();
  }

  /** The agent is warm again, and is retried after a pause. */
  failed(slot: Slot, error: string): void {
    const { clock, log, onChange } = this.#deps;
    log.warn({ slot: slot.id, error, retrying: true }, "failed to keep an agent hot");
    slot.isConnectingStandby = false;
    if (slot.state === "hot") slot.state = "warm";
    this.discard(slot);
    this.#cancelPause?.();
    // The timer itself ends the pause, so a timer that fires early does not find the pause still running.
    this.#cancelPause = clock.after(RETRY_MS, () => {
      this.#cancelPause = undefined;
      onChange();
    });
    onChange();
  }

  /** A session without a room of its own takes over the standby room. For any other session the room is deleted. */
  jobStarted(slot: Slot, usesStandbyRoom: boolean): void {
    if (usesStandbyRoom) slot.hasStandby = false;
    else this.discard(slot);
  }

  discard(slot: Slot): void {
    if (!slot.hasStandby) return;
    slot.hasStandby = false;
    this.#deps.standby?.discard(slot.id);
  }

  #connect(slot: Slot, standby: StandbyRoomSource): void {
    slot.isConnectingStandby = true;
    standby.make(slot.id).then(
      (room) => {
        slot.hasStandby = true;
        if (slot.state === "warm") {
          slot.process.link.send({ type: "connect_standby", slot: slot.id, ...room });
          return;
        }
        slot.isConnectingStandby = false; // The slot got a session or was released in between.
        this.discard(slot);
      },
      (error: unknown) => this.failed(slot, messageOf(error)),
    );
  }
}

/** LiveKit closes an empty room after this time; a standby room has to last as long as its agent. */
const EMPTY_TIMEOUT_S = 24 * 60 * 60;
const DEPARTURE_TIMEOUT_S = 60;
const TOKEN_TTL_S = 60;

/** Standby rooms on LiveKit. */
export class StandbyRooms implements StandbyRoomSource {
  readonly #livekit: LiveKit;
  readonly #log: Log;
  readonly #deletions = new Set<Promise<void>>();

  constructor(livekit: LiveKit, log: Log) {
    this.#livekit = livekit;
    this.#log = log;
  }

  async make(slot: string): Promise<StandbyRoom> {
    const { rooms, tokens } = this.#livekit;
    const room = `${STANDBY_PREFIX}${slot}`;
    const options = { emptyTimeoutS: EMPTY_TIMEOUT_S, departureTimeoutS: DEPARTURE_TIMEOUT_S };
    const liveKitRoom = await rooms.create(room, options);
    const token = await tokens.forAgent({ room, identity: `agent-${slot}`, ttlS: TOKEN_TTL_S });
    return { room, token, ...(liveKitRoom === undefined ? {} : { liveKitRoom }) };
  }

  discard(slot: string): void {
    const room = `${STANDBY_PREFIX}${slot}`;
    const deletion = this.#livekit.rooms
      .delete(room)
      .catch((error: unknown) =>
        this.#log.debug({ error, room }, "failed to delete a standby room; the janitor will delete it"),
      )
      .finally(() => this.#deletions.delete(deletion));
    this.#deletions.add(deletion);
  }

  /** Waits for the deletions in progress. */
  async flush(): Promise<void> {
    await Promise.all(this.#deletions);
  }
}
