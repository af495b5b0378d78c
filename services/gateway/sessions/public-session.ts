// The public part of a session's record.
import { roomOf } from "../../../libs/contracts/ids.ts";
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import type {
  AgentState,
  Session,
  SessionStatus,
  SessionSummary,
} from "../../../libs/contracts/sessions/http.ts";
import type { Requested, SessionRecord, SessionState } from "../../../libs/contracts/sessions/session.ts";
import type { Gateway } from "../context.ts";
import { waitingWith } from "./capacity.ts";
import { startupTimingsOf } from "./startup-timings.ts";

/** The public part of a record. A session that was just accepted has it too. */
export type PublicSession = Omit<
  SessionRecord,
  "v" | "writeId" | "deadlineMs" | "maxAttempts" | "backoffMs" | "avoid" | "metadata" | "metadataText"
>;

export const statusOf = (state: SessionState): SessionStatus =>
  state === "ready" || state === "ended" ? state : "starting";

/** A session without a stored record. */
export const toPublicSession = (requested: Requested): PublicSession => ({
  sessionId: requested.sessionId,
  tenant: requested.tenant,
  profile: requested.profile,
  ...(requested.provider === undefined ? {} : { provider: requested.provider }),
  state: "requested",
  attempt: 1,
  failures: 0,
  room: requested.room ?? roomOf(requested.sessionId),
  roomIsNamed: requested.room !== undefined,
  user: requested.user,
  ...(requested.stored === undefined ? {} : { stored: requested.stored }),
  requestHash: requested.requestHash,
  recovering: false,
  history: [{ state: "requested", at: requested.at, attempt: 1 }],
  timings: {},
});

/**
 * True if the session's room can no longer change.
 *
 * A hot agent brings its own room. Until an agent is ready, the next attempt may get another agent, and a user in the
 * first room would be alone. Only agents of the pool are hot.
 */
export const isRoomSettled = (record: PublicSession): boolean =>
  record.state === "ready" || record.roomIsNamed || record.recovering || isExternal(record.provider);

export function summarize(gateway: Gateway, record: PublicSession): SessionSummary {
  const queue = queuePlaceOf(gateway, record);
  return {
    sessionId: record.sessionId,
    status: statusOf(record.state),
    state: record.state,
    userId: record.user.id,
    userName: record.user.name,
    profile: record.profile,
    provider: record.provider ?? "pool",
    createdAt: Math.floor(createdAtMs(record) / 1000),
    startupTime: startupTimeOf(record),
    prewarmed: isPrewarmed(record),
    warm: record.warm ?? null,
    version: record.version ?? null,
    attempt: record.attempt,
    failures: record.failures,
    agentState: agentStateOf(record),
    recovering: record.recovering,
    host: record.host ?? null,
    room: isRoomSettled(record) || record.state === "ended" ? record.room : null,
    ...(record.endedReason === undefined ? {} : { endedReason: record.endedReason }),
    ...(record.fault === undefined ? {} : { fault: record.fault }),
    ...(queue === undefined ? {} : { queue }),
    ...(record.stored?.metadata === undefined ? {} : { metadataBytes: record.stored.metadata.bytes }),
  };
}

export const describe = (gateway: Gateway, record: PublicSession): Session => ({
  ...summarize(gateway, record),
  history: record.history,
  timings: record.timings,
  startupTimings: startupTimingsOf(record, gateway.clock.now()),
});

const agentStateOf = ({ awaitingUser, state }: PublicSession): AgentState | null => {
  if (state !== "ready") return null;
  return awaitingUser === true ? "awaiting_user" : "started";
};

export const isPrewarmed = ({ warm }: PublicSession): boolean => warm === "hot" || warm === "warm";

/** The reason of the latest history entry. */
export const lastReason = (record: PublicSession): string =>
  record.history.at(-1)?.reason ?? "no reason given";

const createdAtMs = (record: PublicSession): number => Date.parse(record.history[0]?.at ?? "") || 0;

/**
 * Seconds from the request to the first ready, for people. The two times may come from different clocks, so the result is
 * at least the time that the host measured itself.
 */
function startupTimeOf(record: PublicSession): number | null {
  const ready = record.history.find(({ state }) => state === "ready");
  if (ready === undefined) return null;
  const byClocks = Date.parse(ready.at) - createdAtMs(record);
  const atLeast = ready.attempt === record.attempt ? (record.timings.readyMs ?? 0) : 0;
  return Math.round(Math.max(byClocks, atLeast, 0)) / 1000;
}

/** The position among the sessions that wait for the same agents. */
function queuePlaceOf(gateway: Gateway, record: PublicSession): SessionSummary["queue"] {
  if (record.state !== "requested") return undefined;
  const waiting = waitingWith(gateway.sessions, record);
  const index = waiting.findIndex((other) => other.record.sessionId === record.sessionId);
  return index < 0 ? undefined : { position: index + 1, length: waiting.length };
}
