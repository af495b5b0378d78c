// Starts a session in a room of another system when somebody joins it, for example through a phone call.
import { GreenroomError, isError, messageOf } from "../../../libs/contracts/errors.ts";
import { inboundProfileOf } from "../../../libs/contracts/sessions/inbound-rooms.ts";
import type { RoomInfo } from "../../../libs/livekit/rooms.ts";
import type { Arrival } from "../../../libs/livekit/webhooks.ts";
import type { Gateway } from "../context.ts";
import { liveSessionIn } from "./ensure-session.ts";
import { sessionIdOfKey } from "./session-ids.ts";
import { startSession } from "./start-session.ts";

/** The profile that serves a room of another system. */
export const inboundProfile = (gateway: Gateway, room: string): string | undefined =>
  inboundProfileOf(gateway.config.GREENROOM_INBOUND_ROOMS, room);

/**
 * Starts the session of an inbound room.
 * @throws GreenroomError for a retryable failure, so that LiveKit repeats its webhook
 */
export async function startInbound(gateway: Gateway, arrival: Arrival, profile: string): Promise<void> {
  const { room, identity, name, attributes } = arrival;
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

/** Whether an inbound room with somebody in it never had a session. */
export function isInboundUnanswered(gateway: Gateway, { name, createdAtS, participants }: RoomInfo): boolean {
  if (participants === 0 || inboundProfile(gateway, name) === undefined) return false;
  const own = sessionIdOfKey(gateway.tenant, keyOf({ room: name, createdAtS }));
  // A room gets no other session after its first one has ended.
  return (
    gateway.sessions.get(gateway.tenant, own) === undefined && liveSessionIn(gateway, name) === undefined
  );
}

/** The idempotency key of an arrival. Every gateway derives the same session from it. */
const keyOf = ({ room, createdAtS }: Pick<Arrival, "room" | "createdAtS">): string =>
  `inbound ${room} ${createdAtS}`;
