// The life of an outbound task as a pure XState machine: no clock, no timers, no effects.
import { setup } from "xstate";
import type { CallStatus } from "../../contracts/providers/provider.ts";
import { type TaskEvent, type TaskState, taskEnds } from "../../contracts/tasks/task.ts";
import { changeBy } from "../reducer.ts";
import { newest, outcomeOf, type TaskContext } from "./outcome.ts";
import * as change from "./transitions.ts";

type Args = { context: TaskContext; event: TaskEvent };

/** The event is of the current attempt: the fence. */
const isCurrentAttempt = ({ context, event }: Args): boolean => event.attempt === context.attempt;

const isCall =
  (status: CallStatus) =>
  (args: Args): boolean =>
    isCurrentAttempt(args) && args.event.type === "call_updated" && args.event.call.status === status;

/** The outcome of the event leads to `target`: to another attempt, or to the task's end. */
const endsAttempt =
  (target: TaskState) =>
  (args: Args): boolean => {
    if (args.event.type !== "cancel_requested" && !isCurrentAttempt(args)) return false;
    const outcome = outcomeOf(args.context, args.event);
    return outcome !== undefined && (outcome.again ? "queued" : outcome.end) === target;
  };

/** An action for one type of event. */
const on = <T extends TaskEvent["type"]>(
  type: T,
  of: (context: TaskContext, event: Extract<TaskEvent, { type: T }>) => TaskContext,
) =>
  changeBy<TaskContext, TaskEvent>((context, event) =>
    event.type === type ? of(context, event as Extract<TaskEvent, { type: T }>) : context,
  );

const by = (of: (context: TaskContext, event: TaskEvent) => TaskContext) =>
  changeBy<TaskContext, TaskEvent>(of);

const enter = (state: TaskState) => by((context, event) => change.moved(context, event, state));

const endAttempt = by((context, event) => {
  const outcome = outcomeOf(context, event);
  return outcome === undefined ? context : change.settled(context, event, outcome);
});

/** The transitions of an event that may end an attempt, one for each outcome. */
const outcomes = (["queued", ...taskEnds] as const).map((target) => ({
  guard: endsAttempt(target),
  target,
  actions: endAttempt,
}));

/** Stores details that change no state, such as the carrier's reason. Without the guard, old details would be a change. */
const notes = {
  guard: (args: Args) => isCurrentAttempt(args) && change.seen(args.context, args.event) !== args.context,
  actions: by(change.seen),
};

/** The events that every state with an attempt in progress handles. */
const whileActive = { session_ended: outcomes, deadline_exceeded: outcomes, cancel_requested: outcomes };

const answered = { guard: isCall("answered"), target: "answered", actions: enter("answered") } as const;

/** Without a phone call, the conversation begins when the agent is ready. */
const begins = {
  guard: (args: Args) => isCurrentAttempt(args) && change.readyIsAnswer(args.context),
  target: "inProgress",
  actions: enter("inProgress"),
} as const;

/** Only a person revives an ended task. */
const ended = {
  on: {
    retry_requested: {
      guard: ({ context, event }: Args) => event.type === "retry_requested" && event.life === context.life,
      target: "queued",
      actions: by(change.revived),
    },
  },
} as const;

/**
 * The machine. Read it as a table: the events that each state handles, the guard of each, and the next state.
 * An event that a state does not list, or whose guards all fail, changes nothing.
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
          actions: on("slot_granted", change.begun),
        },
        expired: {
          guard: isCurrentAttempt,
          target: "failed",
          actions: on("expired", change.endedWaiting),
        },
        cancel_requested: { target: "canceled", actions: on("cancel_requested", change.endedWaiting) },
      },
    },
    dialing: {
      on: {
        ...whileActive,
        session_ready: [begins, notes],
        call_updated: [
          ...outcomes,
          answered,
          { guard: isCall("ringing"), target: "ringing", actions: enter("ringing") },
          notes,
        ],
      },
    },
    ringing: {
      on: { ...whileActive, session_ready: notes, call_updated: [...outcomes, answered, notes] },
    },
    answered: {
      // An agent that waits in the room speaks at once. A call whose agent is not ready waits here.
      always: {
        guard: ({ context }) => newest(context)?.agentReady === true,
        target: "inProgress",
        actions: enter("inProgress"),
      },
      on: { ...whileActive, session_ready: notes, call_updated: [...outcomes, notes] },
    },
    inProgress: {
      on: { ...whileActive, call_updated: [...outcomes, notes] },
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
