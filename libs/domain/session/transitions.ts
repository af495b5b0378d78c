// Changes of a session's context, one function for each transition of the machine.
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

/** The record without the fields that belong to its storage: the machine's context. */
export type SessionContext = Omit<SessionRecord, "state" | "writeId">;

/** The inputs that the dispatcher itself produces while it handles an event. */
export type DispatcherInput =
  | { type: "host_chosen"; attempt: number; host: string; epoch: number; requestedWarmth: Warmth; at: string }
  | {
      type: "declined";
      attempt: number;
      host: string;
      reason: string;
      at: string;
      /** Set when the host is not at fault: the session does not avoid it, and is retried after this pause. */
      pauseMs?: number;
      /** Set when an earlier assign may have reached the host, so that its agent has to leave the room. */
      mayHaveStarted?: boolean;
    }
  /** The start failed on a host where starts fail that succeed elsewhere. */
  | { type: "host_failed"; attempt: number; host: string; reason: string; at: string }
  | {
      type: "assign_failed";
      attempt: number;
      host: string;
      reason: string;
      retryable: boolean;
      at: string;
    };

/** The inputs of the machine. `requested` creates a session and changes none. */
export type SessionInput = Exclude<SessionEvent, Requested> | DispatcherInput;

type Input<T extends SessionInput["type"]> = Extract<SessionInput, { type: T }>;

/** The pause after the first failure. Each further failure doubles it. */
const BACKOFF_BASE_MS = 200;
/** The pause after a host declined for the second time. */
const DECLINED_AGAIN_MS = 200;
export const HISTORY_MAX = 30;
/** An agent's error can be pages long, and the record must fit its bucket. */
const REASON_MAX_LENGTH = 240;
const shortened = (reason: string): string =>
  reason.length <= REASON_MAX_LENGTH ? reason : `${reason.slice(0, REASON_MAX_LENGTH - 1)}…`;

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

/** Adds an entry to the history. A full history keeps its first and its newest entries. */
function addToHistory(
  context: SessionContext,
  state: SessionState,
  at: string,
  reason?: string,
): SessionContext {
  const entry: HistoryEntry = {
    state,
    at,
    attempt: context.attempt,
    ...(context.host === undefined ? {} : { host: context.host }),
    ...(context.version === undefined ? {} : { version: context.version }),
    ...(reason === undefined ? {} : { reason: shortened(reason) }),
  };
  const [first, ...rest] = [...context.history, entry];
  const history = first === undefined ? [] : [first, ...rest.slice(-(HISTORY_MAX - 1))];
  return { ...context, history };
}

export const dispatched = (context: SessionContext, event: Input<"host_chosen">): SessionContext =>
  addToHistory(
    { ...context, host: event.host, hostEpoch: event.epoch, requestedWarmth: event.requestedWarmth },
    "dispatched",
    event.at,
  );

const inRoom = (context: SessionContext, event: Input<"joined"> | Input<"ready">): SessionContext => ({
  ...context,
  room: event.room,
  identity: event.identity,
  warm: event.warm,
  version: event.version,
});

export const joined = (context: SessionContext, event: Input<"joined">): SessionContext =>
  addToHistory(
    { ...inRoom(context, event), timings: { ...context.timings, joinMs: event.tookMs } },
    "joined",
    event.at,
  );

export const ready = (context: SessionContext, event: Input<"ready">): SessionContext =>
  addToHistory(
    {
      ...inRoom(context, event),
      awaitingUser: event.awaitingUser,
      // A migrated agent stayed until now. The record's commands release it.
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

export const agentStarted = (context: SessionContext): SessionContext => ({
  ...context,
  awaitingUser: undefined,
});

/** Records of earlier versions have no count, and a long history may have dropped some entries. */
export const readyCountOf = ({
  readyCount,
  history,
}: Pick<SessionContext, "readyCount" | "history">): number =>
  Math.max(readyCount ?? 0, history.filter(({ state }) => state === "ready").length);

/**
 * The next attempt after the host declined. Nothing was started, so the attempt costs no failure.
 *
 * Another host is asked at once. A host that declines for the second time announces agents that it does not give, which
 * may last. The session then pauses, as it does after an attempt that could not be made at all.
 */
export function declined(context: SessionContext, event: Input<"declined">): SessionContext {
  const { pauseMs } = event;
  const avoid = pauseMs === undefined ? [...new Set([...context.avoid, event.host])] : context.avoid;
  const backoffMs = pauseMs ?? (context.avoid.includes(event.host) ? DECLINED_AGAIN_MS : 0);
  const previous = event.mayHaveStarted ? previousOf(context) : context.previous;
  const next = {
    ...withoutAttempt(context),
    attempt: context.attempt + 1,
    backoffMs,
    avoid,
    previous,
  };
  return addToHistory(next, "requested", event.at, event.reason);
}

/**
 * The next attempt after a start that failed through the fault of its host. It costs no failure, and whatever runs there
 * is released.
 */
export function hostFailed(context: SessionContext, event: Input<"host_failed">): SessionContext {
  const next = {
    ...withoutAttempt(context),
    previous: previousOf(context),
    attempt: context.attempt + 1,
    backoffMs: context.avoid.includes(event.host) ? DECLINED_AGAIN_MS : 0,
    room: roomOfNext(context, context.recovering),
    avoid: [...new Set([...context.avoid, event.host])],
  };
  return addToHistory(next, "requested", event.at, event.reason);
}

/**
 * The next attempt after the provider found no agent. Like a declined one, the attempt costs no failure. An agent may
 * still take the request, so the attempt is released.
 */
export function providerDeclined(context: SessionContext, event: Input<"provider_declined">): SessionContext {
  const next = {
    ...withoutAttempt(context),
    previous: previousOf(context),
    attempt: context.attempt + 1,
    backoffMs: event.pauseMs,
  };
  return addToHistory(next, "requested", event.at, event.reason);
}

/**
 * The next attempt after a failed one. A caller who already talked must not wait, so there is only a pause when the
 * agent never became ready.
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
    room: roomOfNext(context, recovering),
    avoid: context.host === undefined ? context.avoid : [context.host],
  };
  return addToHistory(next, "requested", event.at, reasonOf(event));
}

/**
 * The next attempt of a migration. Nothing failed. An agent that is ready serves until the next one is in the room, so
 * that its user is never alone.
 */
export function migrate(context: SessionContext, event: SessionInput, wasReady: boolean): SessionContext {
  const recovering = context.recovering || wasReady;
  const previous = previousOf(context);
  const next: SessionContext = {
    ...withoutAttempt(context),
    previous: wasReady && previous !== undefined ? { ...previous, keepUntilReplaced: true } : previous,
    attempt: context.attempt + 1,
    recovering,
    backoffMs: 0,
    room: roomOfNext(context, recovering),
    avoid: context.host === undefined ? context.avoid : [context.host],
  };
  return addToHistory(next, "requested", event.at, reasonOf(event));
}

/** The end after a failure, which `failures` counts. */
export const giveUp = (context: SessionContext, event: SessionInput, reason: EndedReason): SessionContext =>
  ended({ ...context, failures: context.failures + 1 }, event, reason);

const endedBy = { provider: "provider_error", host: "agent_lost" } as const;

/** The end after an error of the agent's code, of its provider, or of its host. */
export const failedWithError = (context: SessionContext, event: SessionInput): SessionContext =>
  giveUp(
    context,
    event,
    "cause" in event && event.cause !== undefined ? endedBy[event.cause] : "agent_error",
  );

export function ended(
  context: SessionContext,
  event: SessionInput,
  endedReason: EndedReason,
  reason?: string,
): SessionContext {
  const next = { ...context, endedReason, fault: faultOf[endedReason], recovering: false, backoffMs: 0 };
  return addToHistory(next, "ended", event.at, reason ?? reasonOf(event));
}

/** A session that its user ends before it was ever ready is cancelled. */
export const endedByUser = (
  context: SessionContext,
  event: SessionInput,
  everReady: boolean,
): SessionContext =>
  ended(asked(context, event), event, everReady || context.recovering ? "completed" : "cancelled");

/** The request of an end may ask for the end of the room, too. */
const asked = (context: SessionContext, event: SessionInput): SessionContext =>
  event.type === "end_requested" && event.deleteRoom ? { ...context, deleteRoom: true } : context;

export function endedByDeadline(context: SessionContext, event: Input<"deadline_exceeded">): SessionContext {
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

/** The reason of an event, for the history. */
function reasonOf(event: SessionInput): string {
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
  version: undefined,
  identity: undefined,
  awaitingUser: undefined,
});

/** The user of a running session stays in the room. Before that, no client knows the room. */
const roomOfNext = (context: SessionContext, recovering: boolean): string =>
  recovering || context.roomIsNamed ? context.room : roomOf(context.sessionId);

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
