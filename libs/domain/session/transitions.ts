// How a session's context changes at each transition: plain functions that the machine refers to by name.
import { agentIdentityOf, roomOf } from "../../contracts/ids.ts";
import type {
  EndedReason,
  Fault,
  HistoryEntry,
  Requested,
  SessionEvent,
  SessionRecord,
  SessionState,
  Warmth,
} from "../../contracts/sessions/session.ts";

/** The record without the parts that belong to its storage: what the machine calls its context. */
export type SessionContext = Omit<SessionRecord, "state" | "writeId">;

/** What the dispatcher itself decides or learns while it handles a message. */
export type DispatcherInput =
  | { type: "host_chosen"; attempt: number; host: string; epoch: number; requestedWarmth: Warmth; at: string }
  | {
      type: "declined";
      attempt: number;
      host: string;
      reason: string;
      at: string;
      /** Set when it was not the host's doing: it is not avoided, and asked again after this. */
      pauseMs?: number;
      /** Set when an earlier telling may have reached the host: its agent must be out of the room. */
      mayHaveStarted?: boolean;
    }
  | {
      type: "assign_failed";
      attempt: number;
      host: string;
      reason: string;
      retryable: boolean;
      at: string;
    };

/** All that can reach the machine. `requested` makes a session and changes none. */
export type SessionInput = Exclude<SessionEvent, Requested> | DispatcherInput;

type Said<T extends SessionInput["type"]> = Extract<SessionInput, { type: T }>;

/** The first wait before a host that failed is tried again; each further failure doubles it. */
const BACKOFF_BASE_MS = 200;
/** The pause after a host that declined again. */
const DECLINED_AGAIN_MS = 200;
export const HISTORY_MAX = 30;
/** Errors of agents can be pages long, and a record must fit its bucket. */
const WHY_MAX = 240;

const faultOf: Record<EndedReason, Fault> = {
  completed: "none",
  cancelled: "customer",
  no_capacity: "platform",
  join_timeout: "platform",
  ready_timeout: "agent",
  agent_lost: "platform",
  agent_error: "agent",
  max_duration: "none",
  idle: "customer",
  expired: "customer",
  provider_error: "provider",
};

/** Adds a line to the history. The first and the newest entries stay when it grows too long. */
function remember(context: SessionContext, state: SessionState, at: string, reason?: string): SessionContext {
  const entry: HistoryEntry = {
    state,
    at,
    attempt: context.attempt,
    ...(context.host === undefined ? {} : { host: context.host }),
    ...(reason === undefined ? {} : { reason: reason.slice(0, WHY_MAX) }),
  };
  const [first, ...rest] = [...context.history, entry];
  const history = first === undefined ? [] : [first, ...rest.slice(-(HISTORY_MAX - 1))];
  return { ...context, history };
}

export const dispatched = (context: SessionContext, event: Said<"host_chosen">): SessionContext =>
  remember(
    { ...context, host: event.host, hostEpoch: event.epoch, requestedWarmth: event.requestedWarmth },
    "dispatched",
    event.at,
  );

const inRoom = (context: SessionContext, event: Said<"joined"> | Said<"ready">): SessionContext => ({
  ...context,
  room: event.room,
  identity: event.identity,
  warm: event.warm,
});

export const joined = (context: SessionContext, event: Said<"joined">): SessionContext =>
  remember(
    { ...inRoom(context, event), timings: { ...context.timings, joinMs: event.tookMs } },
    "joined",
    event.at,
  );

export const ready = (context: SessionContext, event: Said<"ready">): SessionContext =>
  remember(
    {
      ...inRoom(context, event),
      // One that stayed until now is told to go by what its record calls for.
      previous: context.previous?.keepUntilReplaced === true ? context.previous : undefined,
      recovering: false,
      avoid: [],
      backoffMs: 0,
      readyCount: readyCountOf(context) + 1,
      timings: { ...context.timings, readyMs: event.tookMs },
    },
    "ready",
    event.at,
  );

/** A record of an earlier version doesn't count them itself, and its history may have forgotten some. */
export const readyCountOf = ({
  readyCount,
  history,
}: Pick<SessionContext, "readyCount" | "history">): number =>
  Math.max(readyCount ?? 0, history.filter(({ state }) => state === "ready").length);

/**
 * A try that its host declined: nothing was started, so it costs no failure.
 *
 * Another host is asked at once. One that declines a second time says that it has agents and gives none: that
 * may take a while, and must not go on at the speed of the network. Nor must a try that could not even be made.
 */
export function declined(context: SessionContext, event: Said<"declined">): SessionContext {
  const { pauseMs } = event;
  const avoid = pauseMs === undefined ? [...new Set([...context.avoid, event.host])] : context.avoid;
  const backoffMs = pauseMs ?? (context.avoid.includes(event.host) ? DECLINED_AGAIN_MS : 0);
  const former = event.mayHaveStarted ? previousOf(context) : context.previous;
  const next = {
    ...withoutAttempt(context),
    attempt: context.attempt + 1,
    backoffMs,
    avoid,
    previous: former,
  };
  return remember(next, "requested", event.at, event.reason);
}

/**
 * A try for which its provider found nobody: no failure, as with a host that declines. What was asked for may still
 * come of it, so it is taken back.
 */
export function providerDeclined(context: SessionContext, event: Said<"provider_declined">): SessionContext {
  const next = {
    ...withoutAttempt(context),
    previous: previousOf(context),
    attempt: context.attempt + 1,
    backoffMs: event.pauseMs,
  };
  return remember(next, "requested", event.at, event.reason);
}

/**
 * The next attempt after one that failed.
 *
 * A caller who already talked must not wait, so only an agent that never became ready is given a pause.
 */
export function retry(context: SessionContext, event: SessionInput, wasReady: boolean): SessionContext {
  const failures = context.failures + 1;
  const recovering = context.recovering || wasReady;
  const next: SessionContext = {
    ...withoutAttempt(context),
    previous: previousOf(context),
    attempt: context.attempt + 1,
    failures,
    recovering,
    backoffMs: wasReady ? 0 : BACKOFF_BASE_MS * 2 ** (failures - 1),
    // The user of a running session stays where they are; before that nobody was told the room.
    room: recovering || context.roomIsNamed ? context.room : roomOf(context.sessionId),
    avoid: context.host === undefined ? context.avoid : [context.host],
  };
  return remember(next, "requested", event.at, reasonOf(event));
}

/**
 * The next attempt after a host gave its session away in order: nothing failed. An agent that serves goes on
 * until the next one is in the room, so that its user isn't left alone meanwhile.
 */
export function migrate(context: SessionContext, event: SessionInput, wasReady: boolean): SessionContext {
  const recovering = context.recovering || wasReady;
  const former = previousOf(context);
  const next: SessionContext = {
    ...withoutAttempt(context),
    previous: wasReady && former !== undefined ? { ...former, keepUntilReplaced: true } : former,
    attempt: context.attempt + 1,
    recovering,
    backoffMs: 0,
    room: recovering || context.roomIsNamed ? context.room : roomOf(context.sessionId),
    avoid: context.host === undefined ? context.avoid : [context.host],
  };
  return remember(next, "requested", event.at, reasonOf(event));
}

/** The end after a failure; `failures` counts that one too. */
export const giveUp = (context: SessionContext, event: SessionInput, reason: EndedReason): SessionContext =>
  ended({ ...context, failures: context.failures + 1 }, event, reason);

/** The end after an error: of the agent's code, or of who was to give the agent. */
export const failedWithError = (context: SessionContext, event: SessionInput): SessionContext =>
  giveUp(context, event, "cause" in event && event.cause === "provider" ? "provider_error" : "agent_error");

export function ended(
  context: SessionContext,
  event: SessionInput,
  endedReason: EndedReason,
  reason?: string,
): SessionContext {
  const next = { ...context, endedReason, fault: faultOf[endedReason], recovering: false, backoffMs: 0 };
  return remember(next, "ended", event.at, reason ?? reasonOf(event));
}

/** A user who asks for the end of what never became ready has cancelled it. */
export const endedByUser = (
  context: SessionContext,
  event: SessionInput,
  everReady: boolean,
): SessionContext => ended(context, event, everReady || context.recovering ? "completed" : "cancelled");

export function endedByDeadline(context: SessionContext, event: Said<"deadline_exceeded">): SessionContext {
  switch (event.kind) {
    case "idle":
      return ended(context, event, "idle");
    case "user_absent":
      return ended(context, event, "expired");
    case "waiting":
      return ended(context, event, context.failures > 0 ? "agent_lost" : "no_capacity");
    default:
      return ended(context, event, "max_duration");
  }
}

/** What was said about it, in words for the history. */
export function reasonOf(event: SessionInput): string {
  if ("error" in event && event.error !== undefined) return event.error;
  if ("reason" in event) return event.reason;
  return event.type.replaceAll("_", " ");
}

const withoutAttempt = (context: SessionContext): SessionContext => ({
  ...context,
  host: undefined,
  hostEpoch: undefined,
  requestedWarmth: undefined,
  warm: undefined,
  identity: undefined,
});

function previousOf(context: SessionContext): SessionRecord["previous"] {
  if (context.host === undefined || context.hostEpoch === undefined) return context.previous;
  return {
    attempt: context.attempt,
    host: context.host,
    hostEpoch: context.hostEpoch,
    room: context.room,
    identity: context.identity ?? agentIdentityOf(context),
  };
}
