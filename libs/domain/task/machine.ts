// The life of an outbound task as a pure XState machine: no clock, no timers, no effects.
import { assign, setup } from "xstate";
import { type TaskEvent, type TaskState, taskEnds } from "../../contracts/tasks/task.ts";
import { newest, outcomeOf, type TaskContext } from "./outcome.ts";
import * as change from "./transitions.ts";

type Args = { context: TaskContext; event: TaskEvent };

/** Of this attempt and not of one that is over: the fence. */
const isThisAttempt = ({ context, event }: Args): boolean => event.attempt === context.attempt;

const changeBy = (of: (context: TaskContext, event: TaskEvent) => TaskContext) =>
  assign<TaskContext, TaskEvent, undefined, TaskEvent, never>(({ context, event }) => of(context, event));

const enter = (state: TaskState) => changeBy((context, event) => change.moved(context, event, state));

const isCall = (status: string, args: Args): boolean =>
  isThisAttempt(args) && args.event.type === "call_updated" && args.event.call.status === status;

/** The next try, or how the task ended, whichever the outcome says. */
const leadsTo =
  (target: TaskState) =>
  (args: Args): boolean => {
    if (args.event.type !== "cancel_requested" && !isThisAttempt(args)) return false;
    const outcome = outcomeOf(args.context, args.event);
    return outcome !== undefined && (outcome.again ? "queued" : outcome.end) === target;
  };

const settle = changeBy((context, event) => {
  const outcome = outcomeOf(context, event);
  return outcome === undefined ? context : change.settled(context, event, outcome);
});

/** For what may end an attempt: where each outcome leads. */
const settles = (["queued", ...taskEnds] as const).map((target) => ({
  guard: leadsTo(target),
  target,
  actions: settle,
}));

/** What is only to be seen, as the carrier's own words. A guard, or nothing new would count as a change. */
const notes = {
  guard: (args: Args) => isThisAttempt(args) && change.seen(args.context, args.event) !== args.context,
  actions: changeBy(change.seen),
};

/** What may come while an attempt is under way, in whichever of its states. */
const whileUnderWay = {
  session_ended: settles,
  deadline_exceeded: settles,
  cancel_requested: settles,
};

const answers = {
  guard: (args: Args) => isCall("answered", args),
  target: "answered",
  actions: enter("answered"),
} as const;

const begins = {
  guard: (args: Args) => isThisAttempt(args) && change.readyIsAnswer(args.context),
  target: "inProgress",
  actions: enter("inProgress"),
} as const;

/** Only a person gives an ended task another life. */
const ended = {
  on: {
    retry_requested: {
      guard: ({ context, event }: Args) => event.type === "retry_requested" && event.life === context.life,
      target: "queued",
      actions: changeBy(change.revived),
    },
  },
} as const;

/**
 * The machine. Read it as a table: in each state, what may come, under which condition, and where it leads.
 * An event that a state doesn't list, or whose conditions all fail, changes nothing.
 */
export const taskMachine = setup({
  types: { context: {} as TaskContext, events: {} as TaskEvent, input: {} as TaskContext },
}).createMachine({
  id: "task",
  context: ({ input }) => input,
  initial: "queued",
  states: {
    queued: {
      on: {
        slot_granted: {
          guard: ({ context, event }) => event.attempt === context.attempt + 1 && event.life === context.life,
          target: "dialing",
          actions: assign(({ context, event }) => change.begun(context, event)),
        },
        expired: {
          guard: isThisAttempt,
          target: "failed",
          actions: assign(({ context, event }) => change.endedWaiting(context, event)),
        },
        cancel_requested: {
          target: "canceled",
          actions: assign(({ context, event }) => change.endedWaiting(context, event)),
        },
      },
    },
    dialing: {
      on: {
        ...whileUnderWay,
        session_ready: [begins, notes],
        call_updated: [
          ...settles,
          answers,
          { guard: (args) => isCall("ringing", args), target: "ringing", actions: enter("ringing") },
          notes,
        ],
      },
    },
    ringing: {
      on: { ...whileUnderWay, session_ready: notes, call_updated: [...settles, answers, notes] },
    },
    answered: {
      // An agent that waited in the room begins to speak at once; one that doesn't yet is waited for.
      always: {
        guard: ({ context }) => newest(context)?.agentReady === true,
        target: "inProgress",
        actions: enter("inProgress"),
      },
      on: { ...whileUnderWay, session_ready: notes, call_updated: [...settles, notes] },
    },
    inProgress: {
      on: { ...whileUnderWay, call_updated: [...settles, notes] },
    },
    completed: {},
    busy: ended,
    noAnswer: ended,
    voicemail: ended,
    failed: ended,
    canceled: ended,
    unknown: ended,
  },
});
