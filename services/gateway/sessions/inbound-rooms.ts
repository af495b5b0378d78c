// Gives an agent to rooms that others make: somebody comes in, as by a telephone call, and a session begins there.
import { GreenroomError, isError, messageOf } from "../../../libs/contracts/errors.ts";
import { inboundProfileOf } from "../../../libs/contracts/sessions/inbound-rooms.ts";
import type { RoomInfo } from "../../../libs/livekit/rooms.ts";
import type { Arrival } from "../../../libs/livekit/webhooks.ts";
import { repeat } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { sessionIdOfKey } from "./session-ids.ts";
import { startSession } from "./start-session.ts";

/** For the webhooks that never came. */
const SWEEP_MS = 5000;

/**
 * Starts a session in the room of an arrival, when GREENROOM_INBOUND_ROOMS names its room and it has none. Repeats, other
 * gateways and others who come into the room mean the same session.
 * @throws GreenroomError what is worth another try: LiveKit sends its webhook again
 */
export async function handleArrival(gateway: Gateway, arrival: Arrival): Promise<void> {
  const { room, identity, name, attributes } = arrival;
  const profile = inboundProfileOf(gateway.config.GREENROOM_INBOUND_ROOMS, room);
  if (profile === undefined || hasSession(gateway, room)) return;
  const from = attributes["sip.phoneNumber"];
  const to = attributes["sip.trunkPhoneNumber"];
  const call = from === undefined && to === undefined ? {} : { call: { from: from ?? "", to: to ?? "" } };
  const request = {
    profile,
    room,
    userId: identity,
    ...(name === undefined ? {} : { userName: name }),
    metadata: { inbound: true, ...call },
    wait: 0,
  };
  try {
    const { answer, replayed } = await startSession(gateway, request, keyOf(arrival));
    if (!replayed) gateway.log.info({ room, sessionId: answer.sessionId, profile }, "somebody came in");
  } catch (error) {
    // Somebody else came in too, and was first.
    if (isError(error, "idempotency_conflict") || isError(error, "conflict")) return;
    gateway.log.warn({ room, profile, reason: messageOf(error) }, "somebody came in, and gets no agent");
    if (error instanceof GreenroomError && !error.retryable) return;
    throw error;
  }
}

/** Looks now and then for rooms in which somebody waits. @returns what ends it */
export function sweepInboundRooms(gateway: Gateway): () => void {
  const { clock, log, config, livekit } = gateway;
  if (config.GREENROOM_INBOUND_ROOMS.length === 0 || livekit === undefined) return () => {};
  const look = async () => {
    for (const room of await livekit.rooms.list()) if (isUnanswered(gateway, room)) await answerRoom(room);
  };
  const answerRoom = async ({ name: room, createdAtS }: RoomInfo) => {
    const person = (await livekit.rooms.participants(room)).find(({ isAgent }) => !isAgent);
    if (person === undefined) return;
    const { identity, attributes = {} } = person;
    await handleArrival(gateway, { room, createdAtS, identity, attributes });
  };
  return repeat(clock, SWEEP_MS, look, (error) =>
    log.debug(
      { reason: messageOf(error) },
      "looking for rooms in which somebody waits failed; it is tried again",
    ),
  );
}

function isUnanswered(gateway: Gateway, { name, createdAtS, participants }: RoomInfo): boolean {
  if (participants === 0 || inboundProfileOf(gateway.config.GREENROOM_INBOUND_ROOMS, name) === undefined)
    return false;
  const own = sessionIdOfKey(gateway.tenant, keyOf({ room: name, createdAtS }));
  // One that has ended is its room's last: the room is being closed.
  return gateway.sessions.get(gateway.tenant, own) === undefined && !hasSession(gateway, name);
}

const hasSession = (gateway: Gateway, room: string): boolean =>
  gateway.sessions.all().some(({ record }) => record.room === room && record.state !== "ended");

/** The session that was asked for by it is the same on every gateway. */
const keyOf = ({ room, createdAtS }: Pick<Arrival, "room" | "createdAtS">): string =>
  `inbound ${room} ${createdAtS}`;
