// Starts a session in a room of another system when somebody joins it, for example through a phone call.
import { GreenroomError, isError, messageOf } from "../../../libs/contracts/errors.ts";
import { inboundProfileOf } from "../../../libs/contracts/sessions/inbound-rooms.ts";
import type { RoomInfo } from "../../../libs/livekit/rooms.ts";
import type { Arrival } from "../../../libs/livekit/webhooks.ts";
import { repeat } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { sessionIdOfKey } from "./session-ids.ts";
import { startSession } from "./start-session.ts";

/** Finds rooms whose webhook was lost. */
const SWEEP_MS = 5000;

/**
 * Starts a session in the room of an arrival if GREENROOM_INBOUND_ROOMS contains the room and it has no session. Repeated
 * webhooks, other gateways and further participants all lead to the same session.
 * @throws GreenroomError for a retryable failure, so that LiveKit repeats its webhook
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
    if (!replayed)
      gateway.log.info({ room, sessionId: answer.sessionId, profile }, "started a session for an arrival");
  } catch (error) {
    // Another participant joined first.
    if (isError(error, "idempotency_conflict") || isError(error, "conflict")) return;
    gateway.log.warn({ room, profile, reason: messageOf(error) }, "failed to start a session for an arrival");
    if (error instanceof GreenroomError && !error.retryable) return;
    throw error;
  }
}

/** Regularly looks for rooms in which somebody waits. @returns a function that stops it */
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
      { reason: messageOf(error), retrying: true },
      "failed to look for rooms in which somebody waits",
    ),
  );
}

function isUnanswered(gateway: Gateway, { name, createdAtS, participants }: RoomInfo): boolean {
  if (participants === 0 || inboundProfileOf(gateway.config.GREENROOM_INBOUND_ROOMS, name) === undefined)
    return false;
  const own = sessionIdOfKey(gateway.tenant, keyOf({ room: name, createdAtS }));
  // If the room's session has ended, the room is being deleted and gets no other session.
  return gateway.sessions.get(gateway.tenant, own) === undefined && !hasSession(gateway, name);
}

const hasSession = (gateway: Gateway, room: string): boolean =>
  gateway.sessions.all().some(({ record }) => record.room === room && record.state !== "ended");

/** The idempotency key of an arrival. Every gateway derives the same session from it. */
const keyOf = ({ room, createdAtS }: Pick<Arrival, "room" | "createdAtS">): string =>
  `inbound ${room} ${createdAtS}`;
