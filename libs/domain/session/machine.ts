// The life of a session as a pure XState machine: no clock, no timers, no effects.
import { setup } from "xstate";
import type { EndedReason, SessionState } from "../../contracts/sessions/session.ts";
import { changeBy } from "../reducer.ts";
import type { SessionContext, SessionInput } from "./transitions.ts";
import * as change from "./transitions.ts";

type Args = { context: SessionContext; event: SessionInput };

/** The event is of the current attempt, and from its host: the first half of the fence (I4). */
const isCurrentAttempt = ({ context, event }: Args): boolean =>
  "attempt" in event &&
  event.attempt === context.attempt &&
  (!("host" in event) || event.host === context.host) &&
  !isOvertaken({ context, event });

/** A component that reports a dispatched agent as lost may not have learned yet that the agent has joined. */
const isOvertaken = ({ context, event }: Args): boolean =>
  event.type === "agent_lost" && event.state !== undefined && context.history.at(-1)?.state !== event.state;

/** The event is of the host's epoch that the record names: the second half of the fence (I4). */
const isFromHost = (args: Args): boolean =>
  isCurrentAttempt(args) && "epoch" in args.event && args.event.epoch === args.context.hostEpoch;

const hasAttemptsLeft = ({ context }: Args): boolean => context.failures + 1 < context.maxAttempts;

const canRetry = (args: Args): boolean =>
  hasAttemptsLeft(args) && !("retryable" in args.event && !args.event.retryable);

const isLostForRetry = (args: Args): boolean => isCurrentAttempt(args) && canRetry(args);

const hasFailed = (args: Args): boolean =>
  isFromHost(args) && args.event.type === "agent_ended" && args.event.error !== undefined;

const hasFailedForRetry = (args: Args): boolean => hasFailed(args) && canRetry(args);

const isExpired =
  (state: SessionState) =>
  ({ context, event }: Args): boolean =>
    event.type === "deadline_exceeded" && event.state === state && event.attempt === context.attempt;

const isExpiredForRetry = (state: SessionState) => (args: Args) =>
  isExpired(state)(args) && hasAttemptsLeft(args);

/** Nobody answered the phone call, and the agent only joins once somebody does. */
const isUnanswered = (state: SessionState) => (args: Args) =>
  isExpired(state)(args) && args.event.type === "deadline_exceeded" && args.event.kind === "user_absent";

/** The agent waited for its user, and serves it now. */
const isAwaited = (args: Args): boolean => isFromHost(args) && args.context.awaitingUser === true;

/** An action for one type of event. */
const on = <T extends SessionInput["type"]>(
  type: T,
  of: (context: SessionContext, event: Extract<SessionInput, { type: T }>) => SessionContext,
) =>
  changeBy<SessionContext, SessionInput>((context, event) =>
    event.type === type ? of(context, event as Extract<SessionInput, { type: T }>) : context,
  );

const by = (of: (context: SessionContext, event: SessionInput) => SessionContext) =>
  changeBy<SessionContext, SessionInput>(of);

/** The next attempt, before the session was ready and after it. */
const retry = by((context, event) => change.retry(context, event, false));
const recover = by((context, event) => change.retry(context, event, true));
/** The end after the last attempt. */
const giveUp = (reason: EndedReason) => by((context, event) => change.giveUp(context, event, reason));

const endByUserEarly = by((context, event) => change.endedByUser(context, event, false));
const endByUser = by((context, event) => change.endedByUser(context, event, true));
const endByDeadline = on("deadline_exceeded", change.endedByDeadline);
const endCompleted = by((context, event) => change.ended(context, event, "completed"));
const endFailed = by(change.failedWithError);

/** The events that both `dispatched` and `joined` handle. */
const whileStarting = {
  ready: { guard: isFromHost, target: "ready", actions: on("ready", change.ready) },
  agent_ended: [
    { guard: hasFailedForRetry, target: "requested", actions: retry },
    { guard: hasFailed, target: "ended", actions: endFailed },
    { guard: isFromHost, target: "ended", actions: endCompleted },
  ],
  agent_lost: [
    { guard: isLostForRetry, target: "requested", actions: retry },
    { guard: isCurrentAttempt, target: "ended", actions: giveUp("agent_lost") },
  ],
  migrated: {
    guard: isFromHost,
    target: "requested",
    actions: by((context, event) => change.migrate(context, event, false)),
  },
  host_failed: {
    guard: isCurrentAttempt,
    target: "requested",
    actions: on("host_failed", change.hostFailed),
  },
  user_left: { guard: isFromHost, target: "ended", actions: endByUserEarly },
  end_requested: { target: "ended", actions: endByUserEarly },
} as const;

/**
 * The machine. Read it as a table: the events that each state handles, the guard of each, and the next state.
 * An event that a state does not list, or whose guards all fail, changes nothing.
 */
export const sessionMachine = setup({
  types: { context: {} as SessionContext, events: {} as SessionInput, input: {} as SessionContext },
}).createMachine({
  id: "session",
  context: ({ input }) => input,
  initial: "requested",
  states: {
    requested: {
      on: {
        host_chosen: {
          guard: ({ context, event }) => event.attempt === context.attempt,
          target: "dispatched",
          actions: on("host_chosen", change.dispatched),
        },
        deadline_exceeded: { guard: isExpired("requested"), target: "ended", actions: endByDeadline },
        end_requested: { target: "ended", actions: endByUserEarly },
      },
    },
    dispatched: {
      on: {
        declined: {
          guard: isCurrentAttempt,
          target: "requested",
          actions: on("declined", change.declined),
        },
        provider_declined: {
          guard: isFromHost,
          target: "requested",
          actions: on("provider_declined", change.providerDeclined),
        },
        assign_failed: [
          { guard: isLostForRetry, target: "requested", actions: retry },
          { guard: isCurrentAttempt, target: "ended", actions: giveUp("join_timeout") },
        ],
        joined: { guard: isFromHost, target: "joined", actions: on("joined", change.joined) },
        ...whileStarting,
        deadline_exceeded: [
          { guard: isUnanswered("dispatched"), target: "ended", actions: endByDeadline },
          { guard: isExpiredForRetry("dispatched"), target: "requested", actions: retry },
          { guard: isExpired("dispatched"), target: "ended", actions: giveUp("join_timeout") },
        ],
      },
    },
    joined: {
      on: {
        ...whileStarting,
        deadline_exceeded: [
          { guard: isUnanswered("joined"), target: "ended", actions: endByDeadline },
          { guard: isExpiredForRetry("joined"), target: "requested", actions: retry },
          { guard: isExpired("joined"), target: "ended", actions: giveUp("ready_timeout") },
        ],
      },
    },
    ready: {
      on: {
        agent_started: { guard: isAwaited, actions: by(change.agentStarted) },
        agent_ended: [
          { guard: hasFailedForRetry, target: "requested", actions: recover },
          { guard: hasFailed, target: "ended", actions: endFailed },
          { guard: isFromHost, target: "ended", actions: endCompleted },
        ],
        agent_lost: [
          { guard: isLostForRetry, target: "requested", actions: recover },
          { guard: isCurrentAttempt, target: "ended", actions: giveUp("agent_lost") },
        ],
        migrated: {
          guard: isFromHost,
          target: "requested",
          actions: by((context, event) => change.migrate(context, event, true)),
        },
        deadline_exceeded: { guard: isExpired("ready"), target: "ended", actions: endByDeadline },
        user_left: { guard: isFromHost, target: "ended", actions: endByUser },
        end_requested: { target: "ended", actions: endByUser },
      },
    },
    ended: { type: "final" },
  },
});
