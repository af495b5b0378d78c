// Finds people in rooms without a session, whose webhook was lost.
import { messageOf } from "../../../libs/contracts/errors.ts";
import { isReservedRoom, STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import { isPerson, type ParticipantInfo, type RoomInfo } from "../../../libs/livekit/rooms.ts";
import type { Arrival } from "../../../libs/livekit/webhooks.ts";
import { repeat } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { handleArrival, hasLeft, turnAway } from "./arrivals.ts";
import { liveSessionIn } from "./ensure-session.ts";
import { isInboundUnanswered } from "./inbound-rooms.ts";
import { findInvitation } from "./invitations.ts";
import type { PublicSession } from "./public-session.ts";

const SWEEP_MS = 5000;
/** How far the clocks of LiveKit and of Greenroom's services may differ. */
const CLOCKS_MS = 60_000;
/** How often a sweep tries to start the session of a person before it removes the person from the room. */
const TRIES_MAX = 6;

/** Regularly looks for rooms in which somebody waits. @returns a function that stops it */
export function sweepRooms(gateway: Gateway): () => void {
  const { clock, livekit, log } = gateway;
  if (livekit === undefined) return () => {};
  const onError = (error: unknown) =>
    log.debug(
      { reason: messageOf(error), retrying: true },
      "failed to look for rooms in which somebody waits",
    );
  const sweep = new Sweep(gateway);
  const look = async () => {
    const rooms = await livekit.rooms.list();
    sweep.forgetOthers(rooms);
    for (const room of rooms) await sweep.answer(room).catch(onError);
  };
  return repeat(clock, SWEEP_MS, look, onError);
}

class Sweep {
  readonly #gateway: Gateway;
  /** Rooms that had a session, by their names and the times of their creation. Its record may be deleted before the room. */
  readonly #served = new Set<string>();
  /** The failed starts in each room. */
  readonly #failures = new Map<string, number>();

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  forgetOthers(rooms: readonly RoomInfo[]): void {
    const open = new Set(rooms.map(keyOf));
    for (const key of this.#served) if (!open.has(key)) this.#served.delete(key);
    for (const key of this.#failures.keys()) if (!open.has(key)) this.#failures.delete(key);
  }

  async answer(room: RoomInfo): Promise<void> {
    const { name, participants } = room;
    const { sessions, tenant } = this.#gateway;
    if (participants === 0) return;
    if (liveSessionIn(this.#gateway, name) !== undefined) {
      this.#served.add(keyOf(room));
      this.#failures.delete(keyOf(room));
      return;
    }
    const isInbound = isInboundUnanswered(this.#gateway, room);
    const earlier = sessions.inRoom(tenant, name).at(-1)?.record;
    const isServed = this.#served.has(keyOf(room)) || name.startsWith(STANDBY_PREFIX);
    if (isInbound || earlier !== undefined || !isServed) await this.#answerPeople(room, isInbound, earlier);
  }

  async #answerPeople(room: RoomInfo, isInbound: boolean, earlier: PublicSession | undefined): Promise<void> {
    const { createdAtS, name } = room;
    const mayReturn = earlier !== undefined && isReservedRoom(name);
    const present = (await this.#gateway.livekit?.rooms.participants(name)) ?? [];
    for (const person of present.filter(isPerson)) {
      const { identity, attributes = {} } = person;
      const arrival = { room: name, createdAtS, identity, attributes };
      if (isInbound) return handleArrival(this.#gateway, arrival);
      if (earlier !== undefined && !hasComeAfter(earlier, person)) continue;
      if (mayReturn || (await findInvitation(this.#gateway, name, identity)) !== undefined)
        await this.#answerInvited(room, arrival);
    }
  }

  async #answerInvited(room: RoomInfo, arrival: Arrival): Promise<void> {
    const failures = this.#failures.get(keyOf(room)) ?? 0;
    if (failures >= TRIES_MAX) return;
    try {
      await handleArrival(this.#gateway, arrival);
    } catch (error) {
      this.#failures.set(keyOf(room), failures + 1);
      if (failures + 1 === TRIES_MAX) await turnAway(this.#gateway, arrival, messageOf(error));
    }
  }
}

/** Whether a person has joined since the end of a session. Others were there before, and go on without its agent. */
function hasComeAfter(earlier: PublicSession, { identity, joinedAtMs = 0 }: ParticipantInfo): boolean {
  if (identity === earlier.user.id && hasLeft(earlier)) return true;
  return joinedAtMs > Date.parse(earlier.history.at(-1)?.at ?? "") + CLOCKS_MS;
}

const keyOf = ({ createdAtS, name }: RoomInfo): string => `${name} ${createdAtS}`;
