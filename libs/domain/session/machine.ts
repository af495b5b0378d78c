// The life of a session as a pure XState machine: no clock, no timers, no effects.
import { assign, setup } from "xstate";
import type { SessionContext, SessionInput } from "./transitions.ts";
import * as change from "./transitions.ts";

type Args = { context: SessionContext; event: SessionInput };

/** Of this try and not of one that was given up; the first half of the fence. */
const isThisAttempt = ({ context, event }: Args): boolean =>
  "attempt" in event &&
  event.attempt === context.attempt &&
  (!("host" in event) || event.host === context.host) &&
  !isOvertaken({ context, event });

/** Who says that it is lost on its way may not have heard, cut off as it was, that it has arrived since. */
const isOvertaken = ({ context, event }: Args): boolean =>
  event.type === "agent_lost" && event.state !== undefined && context.history.at(-1)?.state !== event.state;

/** From the host, in the life, that the record names; the second half. */
const isFromItsHost = ({ context, event }: Args): boolean =>
  isThisAttempt({ context, event }) && "epoch" in event && event.epoch === context.hostEpoch;

const hasAttemptsLeft = (context: SessionContext): boolean => context.failures + 1 < context.maxAttempts;

const isExpired = ({ context, event }: Args, state: string): boolean =>
  event.type === "deadline_exceeded" && event.state === state && event.attempt === context.attempt;

/** Its telephone was answered by nobody, and its agent only comes with the answer. */
const isUnanswered = (args: Args, state: string): boolean =>
  isExpired(args, state) && args.event.type === "deadline_exceeded" && args.event.kind === "user_absent";

const failedInItsCode = (args: Args): boolean =>
  isFromItsHost(args) && args.event.type === "agent_ended" && args.event.error !== undefined;

const isRetryable = ({ context, event }: Args): boolean =>
  hasAttemptsLeft(context) && !("retryable" in event && !event.retryable);

const changeOn = <T extends SessionInput["type"]>(
  type: T,
  of: (context: SessionContext, event: Extract<SessionInput, { type: T }>) => SessionContext,
) =>
  assign<SessionContext, SessionInput, undefined, SessionInput, never>(({ context, event }) =>
    event.type === type ? of(context, event as Extract<SessionInput, { type: T }>) : context,
  );

const changeBy = (of: (context: SessionContext, event: SessionInput) => SessionContext) =>
  assign<SessionContext, SessionInput, undefined, SessionInput, never>(({ context, event }) =>
    of(context, event),
  );

/** What may come while an agent is on its way, dispatched or joined. */
const whileStarting = {
  ready: { guard: "isFromItsHost", target: "ready", actions: "ready" },
  agent_ended: [
    { guard: "failedAndWorthRepeating", target: "requested", actions: "retry" },
    { guard: "failedInItsCode", target: "ended", actions: "failInError" },
    { guard: "isFromItsHost", target: "ended", actions: "endCompleted" },
  ],
  agent_lost: [
    { guard: "isWorthRepeating", target: "requested", actions: "retry" },
    { guard: "isThisAttempt", target: "ended", actions: "failLost" },
  ],
  migrated: { guard: "isFromItsHost", target: "requested", actions: "migrateEarly" },
  user_left: { guard: "isFromItsHost", target: "ended", actions: "endByUserEarly" },
  end_requested: { target: "ended", actions: "endByUserEarly" },
} as const;

/**
 * The machine. Read it as a table: in each state, what may come, under which condition, and where it leads.
 * An event that a state doesn't list, or whose conditions all fail, changes nothing.
 */
export const sessionMachine = setup({
  types: { context: {} as SessionContext, events: {} as SessionInput, input: {} as SessionContext },
  guards: {
    isThisAttempt,
    isFromItsHost,
    isWorthRepeating: (args) => isThisAttempt(args) && isRetryable(args),
    failedInItsCode,
    failedAndWorthRepeating: (args) => failedInItsCode(args) && isRetryable(args),
    isOverdueRequested: (args) => isExpired(args, "requested"),
    isUnansweredDispatched: (args) => isUnanswered(args, "dispatched"),
    isUnansweredJoined: (args) => isUnanswered(args, "joined"),
    isOverdueDispatched: (args) => isExpired(args, "dispatched"),
    isOverdueDispatchedWithAttemptsLeft: (args) =>
      isExpired(args, "dispatched") && hasAttemptsLeft(args.context),
    isOverdueJoined: (args) => isExpired(args, "joined"),
    isOverdueJoinedWithAttemptsLeft: (args) => isExpired(args, "joined") && hasAttemptsLeft(args.context),
    isOverdueReady: (args) => isExpired(args, "ready"),
  },
  actions: {
    dispatched: changeOn("host_chosen", change.dispatched),
    joined: changeOn("joined", change.joined),
    ready: changeOn("ready", change.ready),
    declined: changeOn("declined", change.declined),
    providerDeclined: changeOn("provider_declined", change.providerDeclined),
    retry: changeBy((context, event) => change.retry(context, event, false)),
    recover: changeBy((context, event) => change.retry(context, event, true)),
    migrateEarly: changeBy((context, event) => change.migrate(context, event, false)),
    migrate: changeBy((context, event) => change.migrate(context, event, true)),
    endByUserEarly: changeBy((context, event) => change.endedByUser(context, event, false)),
    endByUser: changeBy((context, event) => change.endedByUser(context, event, true)),
    endByDeadline: changeOn("deadline_exceeded", change.endedByDeadline),
    endCompleted: changeBy((context, event) => change.ended(context, event, "completed")),
    failLate: changeBy((context, event) => change.giveUp(context, event, "join_timeout")),
    failNotReady: changeBy((context, event) => change.giveUp(context, event, "ready_timeout")),
    failLost: changeBy((context, event) => change.giveUp(context, event, "agent_lost")),
    failInError: changeBy((context, event) => change.failedWithError(context, event)),
  },
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
          actions: "dispatched",
        },
        deadline_exceeded: { guard: "isOverdueRequested", target: "ended", actions: "endByDeadline" },
        end_requested: { target: "ended", actions: "endByUserEarly" },
      },
    },
    dispatched: {
      on: {
        declined: { guard: "isThisAttempt", target: "requested", actions: "declined" },
        provider_declined: { guard: "isFromItsHost", target: "requested", actions: "providerDeclined" },
        assign_failed: [
          { guard: "isWorthRepeating", target: "requested", actions: "retry" },
          { guard: "isThisAttempt", target: "ended", actions: "failLate" },
        ],
        joined: { guard: "isFromItsHost", target: "joined", actions: "joined" },
        ...whileStarting,
        deadline_exceeded: [
          { guard: "isUnansweredDispatched", target: "ended", actions: "endByDeadline" },
          { guard: "isOverdueDispatchedWithAttemptsLeft", target: "requested", actions: "retry" },
          { guard: "isOverdueDispatched", target: "ended", actions: "failLate" },
        ],
      },
    },
    joined: {
      on: {
        ...whileStarting,
        deadline_exceeded: [
          { guard: "isUnansweredJoined", target: "ended", actions: "endByDeadline" },
          { guard: "isOverdueJoinedWithAttemptsLeft", target: "requested", actions: "retry" },
          { guard: "isOverdueJoined", target: "ended", actions: "failNotReady" },
        ],
      },
    },
    ready: {
      on: {
        agent_ended: [
          { guard: "failedAndWorthRepeating", target: "requested", actions: "recover" },
          { guard: "failedInItsCode", target: "ended", actions: "failInError" },
          { guard: "isFromItsHost", target: "ended", actions: "endCompleted" },
        ],
        agent_lost: [
          { guard: "isWorthRepeating", target: "requested", actions: "recover" },
          { guard: "isThisAttempt", target: "ended", actions: "failLost" },
        ],
        migrated: { guard: "isFromItsHost", target: "requested", actions: "migrate" },
        deadline_exceeded: { guard: "isOverdueReady", target: "ended", actions: "endByDeadline" },
        user_left: { guard: "isFromItsHost", target: "ended", actions: "endByUser" },
        end_requested: { target: "ended", actions: "endByUser" },
      },
    },
    ended: { type: "final" },
  },
});
