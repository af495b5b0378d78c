// Takes a session in: checks that it can be served, and stores the request.

import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { isExternal, type ProviderName } from "../../../libs/contracts/providers/provider.ts";
import type { Requested } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents, sessionEventsWithoutOverflow } from "../../../libs/contracts/streams.ts";
import { queueKeyOf } from "../../../libs/domain/capacity.ts";
import { fingerprint } from "../../../libs/domain/ids.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import { type AgentRequest, canQueue, capacityFor, waitingWith } from "./capacity.ts";
import { type Found, findSession } from "./find-session.ts";
import { toPublicSession } from "./public-session.ts";
import { resolveProvider } from "./resolve-provider.ts";

/** A record that isn't seen for so long comes later or never; it no longer counts as one of the queue. */
const FORGET_ACCEPTED_MS = 60_000;

export type CreateSessionInput = Pick<Requested, "user" | "metadata"> & {
  readonly sessionId: string;
  readonly profile: string | undefined;
  readonly provider: ProviderName | undefined;
  readonly room: string | undefined;
  readonly maxDurationMs: number | undefined;
  /** What the client sent, of which the fingerprint is taken. */
  readonly asked: unknown;
  /** True for an id that a repeated or racing request may have given rise to before. */
  readonly mayBeRepeated: boolean;
};

/**
 * Takes a session in. When it answers, the stream has acknowledged the request: the session exists.
 *
 * @returns how it stands, and whether it had been taken in before, by an earlier request of the same words
 * @throws GreenroomError idempotency_conflict, no_hosts, unknown_profile, profile_unavailable, overloaded,
 *   at_capacity, storage_full, storage_unavailable
 */
export async function createSession(
  gateway: Gateway,
  wish: CreateSessionInput,
): Promise<Found & { replayed: boolean }> {
  const requestHash = fingerprint(wish.asked);
  if (wish.mayBeRepeated) {
    const found = await findSession(gateway, wish.sessionId);
    if (found !== undefined) {
      refuseOtherWords(wish.sessionId, found.record.requestHash, requestHash);
      return { ...found, replayed: true };
    }
  }
  const wanted = resolveProvider(gateway.hosts.all(), gateway.config, wish);
  gateway.admission.refuseIfOverloaded(gateway.accepted.size);
  refuseWhenFull(gateway, wanted);
  const requested: Requested = {
    type: "requested",
    tenant: gateway.tenant,
    sessionId: wish.sessionId,
    at: isoNow(gateway.clock),
    ...wanted,
    user: wish.user,
    metadata: wish.metadata,
    requestHash,
    ...(wish.room === undefined ? {} : { room: wish.room }),
    ...(wish.maxDurationMs === undefined ? {} : { maxDurationMs: wish.maxDurationMs }),
  };
  const replayed = await store(gateway, requested, wish.mayBeRepeated);
  return { record: toPublicSession(requested), revision: 0, replayed };
}

async function store(gateway: Gateway, requested: Requested, mayBeRepeated: boolean): Promise<boolean> {
  const { sessionId } = requested;
  // Only one stream can tell which of two racing requests came first, so they wait until it has a leader.
  const channel = mayBeRepeated ? sessionEventsWithoutOverflow : sessionEvents;
  // Counted from before it is stored: a burst of requests must not all see the same free place.
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
    const { duplicate } = await gateway.bus.streams.publish(channel, requested);
    if (gateway.sessions.get(gateway.tenant, sessionId) !== undefined) stopCounting();
    if (duplicate) await refuseOtherWordsInStream(gateway, requested);
    accepted.isStored = true;
    return duplicate;
  } catch (error) {
    stopCounting();
    throw error;
  }
}

/** Two racing requests with one key: the stream kept the first, whose words count. */
async function refuseOtherWordsInStream(gateway: Gateway, requested: Requested): Promise<void> {
  const subject = sessionEvents.subjectOf(requested);
  const [stored] = await gateway.bus.streams.read(sessionEvents, {
    subject,
    limit: 1,
    order: "newest-first",
  });
  const first = stored?.message;
  if (first?.type !== "requested" || first.requestHash === requested.requestHash) return;
  refuseOtherWords(requested.sessionId, first.requestHash, requested.requestHash);
}

function refuseOtherWords(sessionId: string, before: string, now: string): void {
  if (before === now) return;
  throw new SessionError(
    sessionId,
    "idempotency_conflict",
    "The Idempotency-Key was already used with a different request. Repeat that request exactly, or use a new key.",
  );
}

function refuseWhenFull(gateway: Gateway, wanted: AgentRequest): void {
  const { profile, provider } = wanted;
  const capacity = capacityFor(gateway, wanted);
  // What waits for a provider is in nobody's way who waits for a host.
  const waitsToo = (other: AgentRequest) => isExternal(other.provider) === isExternal(provider);
  const waiting =
    gateway.sessions.waiting().filter(({ record }) => waitsToo(record)).length +
    [...gateway.accepted.values()].filter(({ requested }) => waitsToo(requested)).length;
  if (canQueue(waiting, capacity, gateway.config.GREENROOM_MAX_QUEUE_LENGTH)) return;
  const position = waitingWith(gateway.sessions, wanted).length + 1;
  const estimateMs = gateway.startTimes.estimateMs(queueKeyOf(wanted), capacity, position);
  throw new GreenroomError(
    "at_capacity",
    `Every agent of "${profile}" is busy and ${waiting} sessions wait already. Try again later.`,
    { retryAfterMs: Math.min(60_000, Math.max(1000, estimateMs)) },
  );
}
