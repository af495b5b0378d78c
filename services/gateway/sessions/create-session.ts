// Creates a session: finds the one of a repeated request, or asks for admission and stores a new request.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { ProviderName } from "../../../libs/contracts/providers/provider.ts";
import type { JobMetadata, Requested } from "../../../libs/contracts/sessions/session.ts";
import type { Participant } from "../../../libs/contracts/sessions/stored-text.ts";
import { sessionEvents, sessionEventsWithoutOverflow } from "../../../libs/contracts/streams.ts";
import { fingerprint } from "../../../libs/domain/ids.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import { admitStart, type Refusal } from "./admit-start.ts";
import { type Found, findSession } from "./find-session.ts";
import { toPublicSession } from "./public-session.ts";
import { refsOf, saveTexts, type Texts, textsOf } from "./store-text.ts";

/** A session whose record was not seen for this long no longer counts against the wait queue. */
const FORGET_ACCEPTED_MS = 60_000;

export type CreateSessionInput = Pick<Requested, "user"> &
  JobMetadata & {
    readonly sessionId: string;
    readonly profile: string | undefined;
    readonly provider: ProviderName | undefined;
    readonly room: string | undefined;
    /** True when no other session may have the room. */
    readonly isRoomExclusive: boolean;
    readonly maxDurationMs: number | undefined;
    readonly deleteRoom?: boolean | undefined;
    /** For each token of the session's user. */
    readonly participant?: Participant;
    /** The request body of the client, for its fingerprint. */
    readonly requestBody: unknown;
    /** True for an id that repeated or concurrent requests share. */
    readonly isIdempotent: boolean;
  };

export interface CreatedSession extends Found {
  /** True when an earlier request with the same body had created the session. */
  readonly replayed: boolean;
  /** How long the start takes; undefined for a session that an earlier request created. */
  readonly estimateMs: number | undefined;
}

/**
 * Creates a session. When the promise resolves, the stream has acknowledged the request: the session exists.
 *
 * @throws GreenroomError idempotency_conflict, conflict, no_hosts, unknown_profile, profile_unavailable, overloaded,
 *   at_capacity, storage_full, storage_unavailable
 */
export async function createSession(gateway: Gateway, input: CreateSessionInput): Promise<CreatedSession> {
  const requestHash = fingerprint(input.requestBody);
  const { sessionId, profile, provider, room } = input;
  const found = input.isIdempotent ? await findSession(gateway, sessionId) : undefined;
  if (found !== undefined) {
    refuseOtherBody(sessionId, found.record.requestHash, requestHash);
    return { ...found, replayed: true, estimateMs: undefined };
  }
  const exclusiveRoom = input.isRoomExclusive ? room : undefined;
  const decision = admitStart(gateway, { sessionId, profile, provider, exclusiveRoom });
  if ("refused" in decision) throw refusalError(decision);
  const { agent, estimateMs } = decision.admitted;
  const texts = textsOf(input);
  const requested: Requested = {
    type: "requested",
    tenant: gateway.tenant,
    sessionId,
    at: isoNow(gateway.clock),
    ...agent,
    user: input.user,
    metadata: input.metadata,
    ...(input.metadataText === undefined ? {} : { metadataText: input.metadataText }),
    ...refsOf(texts),
    requestHash,
    ...(room === undefined ? {} : { room }),
    ...(input.maxDurationMs === undefined ? {} : { maxDurationMs: input.maxDurationMs }),
    ...(input.deleteRoom ? { deleteRoom: true } : {}),
  };
  const replayed = await storeRequest(gateway, requested, texts, input.isIdempotent);
  return { record: toPublicSession(requested), revision: 0, replayed, estimateMs };
}

export function refusalError({ refused: code, message, retryAfterMs, sessionId }: Refusal): GreenroomError {
  const options = retryAfterMs === undefined ? {} : { retryAfterMs };
  return sessionId === undefined
    ? new GreenroomError(code, message, options)
    : new SessionError(sessionId, code, message, options);
}

/** @returns true when the stream had the request already */
async function storeRequest(
  gateway: Gateway,
  requested: Requested,
  texts: Texts,
  isIdempotent: boolean,
): Promise<boolean> {
  const { sessionId } = requested;
  // Only one stream can order two concurrent requests, so idempotent ones wait until the stream has a leader.
  const channel = isIdempotent ? sessionEventsWithoutOverflow : sessionEvents;
  // Counted before it is stored, or all requests of a burst would see the same free agent.
  const accepted = { requested, isStored: false };
  gateway.accepted.set(sessionId, accepted);
  const stopCounting = () => {
    unfollow();
    cancel();
    if (gateway.accepted.get(sessionId) === accepted) gateway.accepted.delete(sessionId);
  };
  const unfollow = gateway.subscriptions.follow(sessionId, () => stopCounting());
  const cancel = gateway.clock.after(FORGET_ACCEPTED_MS, () => stopCounting());
  try {
    if (requested.stored !== undefined) await saveTexts(gateway.bus, requested, texts);
    const { duplicate } = await gateway.bus.streams.publish(channel, requested);
    if (gateway.sessions.get(gateway.tenant, sessionId) !== undefined) stopCounting();
    if (duplicate) await refuseOtherStoredBody(gateway, requested);
    accepted.isStored = true;
    return duplicate;
  } catch (error) {
    stopCounting();
    throw error;
  }
}

/** Of two concurrent requests with one key the stream keeps the first, whose body counts. */
async function refuseOtherStoredBody(gateway: Gateway, requested: Requested): Promise<void> {
  const subject = sessionEvents.subjectOf(requested);
  const [stored] = await gateway.bus.streams.read(sessionEvents, {
    subject,
    limit: 1,
    order: "newest-first",
  });
  const first = stored?.message;
  if (first?.type !== "requested") return;
  refuseOtherBody(requested.sessionId, first.requestHash, requested.requestHash);
}

function refuseOtherBody(sessionId: string, storedHash: string, requestHash: string): void {
  if (storedHash === requestHash) return;
  throw new SessionError(
    sessionId,
    "idempotency_conflict",
    "The Idempotency-Key was already used with a different request. Repeat that request exactly, or use a new key.",
  );
}
