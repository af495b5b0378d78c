// The reducer of sessions, and the record of a new session.
import { roomOf } from "../../contracts/ids.ts";
import { RINGING_MAX_MS } from "../../contracts/providers/provider.ts";
import type { Deadlines, Requested, SessionRecord } from "../../contracts/sessions/session.ts";
import { reducerOf } from "../reducer.ts";
import { sessionMachine } from "./machine.ts";
import type { SessionInput } from "./transitions.ts";

export interface SessionDefaults {
  readonly deadlineMs: Deadlines;
  readonly maxAttempts: number;
}

export const reduceSession = reducerOf<SessionRecord, SessionInput>(sessionMachine);

/**
 * @param queueSeq the position of the request in the stream
 * @param receivedAt the ISO time at which the dispatcher received the request
 */
export const newSession = (
  event: Requested,
  defaults: SessionDefaults,
  queueSeq?: number,
  receivedAt?: string,
): SessionRecord => ({
  v: 1,
  sessionId: event.sessionId,
  tenant: event.tenant,
  profile: event.profile,
  ...(event.provider === undefined ? {} : { provider: event.provider }),
  ...(event.call === undefined ? {} : { call: event.call }),
  ...(queueSeq === undefined ? {} : { queueSeq }),
  state: "requested",
  attempt: 1,
  failures: 0,
  maxAttempts: defaults.maxAttempts,
  backoffMs: 0,
  avoid: [],
  room: event.room ?? roomOf(event.sessionId),
  roomIsNamed: event.room !== undefined,
  user: event.user,
  metadata: event.metadata,
  ...(event.metadataText === undefined ? {} : { metadataText: event.metadataText }),
  ...(event.stored === undefined ? {} : { stored: event.stored }),
  requestHash: event.requestHash,
  ...(event.deleteRoom === undefined ? {} : { deleteRoom: event.deleteRoom }),
  recovering: false,
  deadlineMs: {
    ...deadlinesFor(event, defaults.deadlineMs),
    ...(event.maxDurationMs === undefined ? {} : { maxDuration: event.maxDurationMs }),
  },
  history: [{ state: "requested", at: event.at, attempt: 1 }],
  ...(receivedAt === undefined ? {} : { receivedAt }),
  timings: {},
  writeId: "",
});

/**
 * A phone rings for longer than an agent takes to start or a user to join, and the provider that dials ends the ringing.
 * VAPI's agent joins once somebody has answered. A SIP call is made once the agent is ready.
 */
function deadlinesFor({ provider }: Requested, limits: Deadlines): Deadlines {
  const atLeastRinging = (ms: number): number => Math.max(ms, RINGING_MAX_MS);
  if (provider === "vapi")
    return {
      ...limits,
      dispatched: atLeastRinging(limits.dispatched),
      joined: atLeastRinging(limits.joined),
    };
  return provider === "sip" ? { ...limits, userAbsent: atLeastRinging(limits.userAbsent) } : limits;
}

/** A hot agent brings its own room, so it can only serve a session whose room nobody has joined. */
export const mayUseHot = (record: SessionRecord): boolean => !record.roomIsNamed && !record.recovering;
