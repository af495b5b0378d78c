// Makes warm agents hot: connected to a standby room that becomes the room of the session they are given to.
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { Slot } from "./slots.ts";

export interface StandbyRoomSource {
  /** @throws GreenroomError livekit_unavailable */
  make(slot: string): Promise<{ room: string; token: string }>;
  /** Takes the room away; returns at once and never throws. */
  discard(slot: string): void;
}

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined when there is no LiveKit: then nothing gets hot. */
  readonly standby: StandbyRoomSource | undefined;
  readonly onChange: () => void;
}

const AT_ONCE = 4;
const AGAIN_MS = 2000;

export class Standby {
  readonly #deps: Deps;
  #cancelPause: (() => void) | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Heats as many of the warm slots as are missing of `target` hot ones. */
  connectStandby(slots: readonly Slot[], target: number): void {
    if (this.#deps.standby === undefined || this.#cancelPause !== undefined) return;
    // One that was given out meanwhile is busy for a whole call and won't be told of as hot.
    const heating = slots.filter((slot) => slot.isConnectingStandby && slot.state === "warm").length;
    const hot = slots.filter((slot) => slot.state === "hot").length;
    const wanted = Math.max(0, Math.min(target - hot - heating, AT_ONCE - heating));
    const warm = slots.filter(
      (slot) => slot.state === "warm" && !slot.isConnectingStandby && !slot.process.isUnhealthy,
    );
    for (const slot of warm.slice(0, wanted)) this.#heatOne(slot, this.#deps.standby);
  }

  succeeded(slot: Slot): void {
    slot.isConnectingStandby = false;
    if (slot.state === "warm") slot.state = "hot";
    this.#deps.onChange();
  }

  /** The agent stays warm, or is warm again; the next try comes after a pause. */
  failed(slot: Slot, error: string): void {
    const { clock, log, onChange } = this.#deps;
    log.warn({ slot: slot.id, error }, "an agent could not be kept hot; it is warm");
    slot.isConnectingStandby = false;
    if (slot.state === "hot") slot.state = "warm";
    this.discard(slot);
    this.#cancelPause?.();
    // The timer itself ends the pause: one that fires a little early must not find it going on still.
    this.#cancelPause = clock.after(AGAIN_MS, () => {
      this.#cancelPause = undefined;
      onChange();
    });
    onChange();
  }

  /** A session without a room of its own has the standby room from now on; otherwise nobody needs it. */
  handOver(slot: Slot, toSession: boolean): void {
    if (toSession) slot.hasStandby = false;
    else this.discard(slot);
  }

  discard(slot: Slot): void {
    if (!slot.hasStandby) return;
    slot.hasStandby = false;
    this.#deps.standby?.discard(slot.id);
  }

  #heatOne(slot: Slot, standby: StandbyRoomSource): void {
    slot.isConnectingStandby = true;
    standby.make(slot.id).then(
      ({ room, token }) => {
        slot.hasStandby = true;
        if (slot.state === "warm") {
          slot.process.link.send({ type: "connect_standby", slot: slot.id, room, token });
          return;
        }
        slot.isConnectingStandby = false; // It was given out or let go meanwhile.
        this.discard(slot);
      },
      (error: unknown) => this.failed(slot, messageOf(error)),
    );
  }
}
