// Starts sessions for people who join a room: by invitation, by a call from outside, or because they return.
import { sessions } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, isError, messageOf } from "../../../libs/contracts/errors.ts";
import { isReservedRoom, STANDBY_PREFIX, sessionKey } from "../../../libs/contracts/ids.ts";
import type { EndedReason } from "../../../libs/contracts/sessions/session.ts";
import { readParticipant, readText } from "../../../libs/fleet/stored-texts.ts";
import { isPerson } from "../../../libs/livekit/rooms.ts";
import type { Arrival } from "../../../libs/livekit/webhooks.ts";
import type { Gateway } from "../context.ts";
import { ensureSession, liveSessionIn, type RoomStart } from "./ensure-session.ts";
import { inboundProfile, startInbound } from "./inbound-rooms.ts";
import { findInvitation, invitedTo, keepInvitation, startOf } from "./invitations.ts";
import type { PublicSession } from "./public-session.ts";

/** A user who reloads a page may be back before the session has ended. */
const ENDS_SOON_MS = 10_000;

/** The present participant of a room, as far as a start depends on it. */
type Person = Pick<Arrival, "room" | "identity" | "name">;

/**
 * Starts a session for a person who joined a room, if the room should have one. Repeated webhooks, other gateways and
 * further participants all lead to the same session.
 * @throws GreenroomError for a retryable failure, so that LiveKit repeats its webhook
 */
export async function handleArrival(gateway: Gateway, arrival: Arrival): Promise<void> {
  await answerArrival(gateway, arrival);
  await keepInvitation(gateway, arrival.room, arrival.identity);
}

async function answerArrival(gateway: Gateway, arrival: Arrival): Promise<void> {
  const { room } = arrival;
  const live = liveSessionIn(gateway, room);
  if (live !== undefined) return startAgainAfter(gateway, live, arrival);
  const profile = inboundProfile(gateway, room);
  if (profile !== undefined) return startInbound(gateway, arrival, profile);
  const request = (await byInvitation(gateway, arrival)) ?? (await byEarlierSession(gateway, arrival));
  if (request !== undefined) await startFor(gateway, arrival, request);
}

/**
 * Starts the session of a room that LiveKit has just created, before its only guest is connected. A room with a name of
 * its own may be for several people, so the first one to join decides.
 */
export async function handleRoomStarted(gateway: Gateway, room: string): Promise<void> {
  if (!mayHaveInvitation(room) || gateway.sessions.inRoom(gateway.tenant, room).length > 0) return;
  const [invitation] = await invitedTo(gateway, room);
  if (invitation === undefined) return;
  await startFor(gateway, { room, identity: invitation.user.id }, startOf(invitation), async () => true);
}

const mayHaveInvitation = (room: string): boolean => isReservedRoom(room) && !room.startsWith(STANDBY_PREFIX);

async function byInvitation(gateway: Gateway, { identity, room }: Person): Promise<RoomStart | undefined> {
  const invitation = await findInvitation(gateway, room, identity);
  return invitation === undefined ? undefined : startOf(invitation);
}

/** A person who returns to the room of an ended session with a valid token gets the same again. */
async function byEarlierSession(
  gateway: Gateway,
  { identity, name, room }: Person,
): Promise<RoomStart | undefined> {
  if (!isReservedRoom(room)) return undefined;
  const earlier = gateway.sessions.inRoom(gateway.tenant, room).at(-1)?.record;
  if (earlier === undefined || earlier.call !== undefined) return undefined;
  const stored = await gateway.bus.kv.get(sessions, sessionKey(earlier));
  if (stored === undefined) return undefined;
  const { deadlineMs, deleteRoom, metadata, metadataText, profile, provider, user } = stored.value;
  const large = stored.value.stored?.metadata;
  return {
    room,
    ...(identity === user.id
      ? { user, participant: await readParticipant(gateway.bus, stored.value) }
      : { user: { id: identity, name: name ?? identity } }),
    metadata,
    ...(metadataText === undefined ? {} : { metadataText }),
    ...(large === undefined ? {} : { largeText: await readText(gateway.bus, earlier, large) }),
    profile,
    ...(provider === undefined ? {} : { provider }),
    maxDurationMs: deadlineMs.maxDuration,
    ...(deleteRoom === undefined ? {} : { deleteRoom }),
  };
}

/** @param mayStart whether the person may have a session now; by default, only a person who is alone in the room */
async function startFor(
  gateway: Gateway,
  person: Person,
  request: RoomStart,
  mayStart: (earlier: PublicSession | undefined) => Promise<boolean> = (earlier) =>
    mayStartFor(gateway, person, earlier),
): Promise<void> {
  const { log } = gateway;
  const { room } = person;
  try {
    const sessionId = await ensureSession(gateway, request, mayStart);
    if (sessionId !== undefined) log.info({ room, sessionId }, "started a session for somebody who joined");
  } catch (error) {
    // Another participant joined first.
    if (isError(error, "idempotency_conflict") || isError(error, "conflict")) return;
    log.warn({ room, reason: messageOf(error) }, "failed to start a session for somebody who joined");
    if (!(error instanceof GreenroomError) || error.retryable) throw error;
    await turnAway(gateway, person, messageOf(error));
  }
}

/**
 * The first session of a room starts for anybody who is still there. A later one must not interrupt people who go on
 * without an agent, so it starts only for a person who is alone. It does not undo an end on purpose either.
 */
async function mayStartFor(
  gateway: Gateway,
  person: Person,
  earlier: PublicSession | undefined,
): Promise<boolean> {
  const people = await peopleIn(gateway, person.room);
  if (!people.includes(person.identity)) return false;
  if (earlier === undefined) return true;
  if (people.length > 1) return false;
  if (hasLeft(earlier) || CONTINUES.has(earlier.endedReason)) return true;
  await turnAway(gateway, person, "the session of the room was ended");
  return false;
}

/** Ends that the user did not want, or that a later arrival undoes. */
const CONTINUES = new Set<EndedReason | undefined>([
  ...(["expired", "idle", "no_capacity", "join_timeout", "ready_timeout"] as const),
  ...(["agent_lost", "agent_error", "provider_error"] as const),
]);

export const hasLeft = ({ history, state }: PublicSession): boolean =>
  state === "ended" && history.at(-1)?.reason === "user left";

const peopleIn = async ({ livekit }: Gateway, room: string): Promise<string[]> =>
  ((await livekit?.rooms.participants(room)) ?? []).filter(isPerson).map(({ identity }) => identity);

/** Removes a person who would wait for an agent in vain. People who have company stay. */
export async function turnAway(gateway: Gateway, { identity, room }: Person, reason: string): Promise<void> {
  const people = await peopleIn(gateway, room);
  if (people.length !== 1 || people[0] !== identity) return;
  gateway.log.warn({ room, identity, reason }, "removed a participant because no session can start");
  await gateway.livekit?.rooms.remove(room, identity);
}

/**
 * A user who is back before the end of the session that they have left gets another one. Somebody who joins another
 * person has not left it.
 */
async function startAgainAfter(gateway: Gateway, live: PublicSession, arrival: Arrival): Promise<void> {
  const { identity, room } = arrival;
  const joinsOther = async () => (await peopleIn(gateway, room)).some((person) => person !== identity);
  if (identity !== live.user.id && (await joinsOther())) return;
  const seen = gateway.subscriptions.until(
    live.sessionId,
    ({ record }) => record.state === "ended",
    ENDS_SOON_MS,
  );
  void seen
    .then(async (end) => {
      if (end !== undefined && hasLeft(end.record)) await handleArrival(gateway, arrival);
    })
    .catch(() => {});
}
