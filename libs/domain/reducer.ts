// Turns a state machine into a reducer: a pure function from a record and an event to the next record.
import { type AnyStateMachine, assign, type EventObject, type MachineContext, transition } from "xstate";

/** A record as a bucket stores it. All its other fields are the context of its machine. */
interface StoredRecord {
  readonly state: string;
  readonly writeId: string;
}

/**
 * The reducer of a machine.
 *
 * An event that the present state does not handle returns the same object. Redelivery is therefore safe: a repeated event
 * changes nothing, nor does an event of an attempt that was given up.
 */
export const reducerOf =
  <R extends StoredRecord, E extends EventObject>(machine: AnyStateMachine) =>
  (record: R, event: E): R => {
    const { state, writeId, ...context } = record;
    const before = machine.resolveState({ value: state, context });
    const [after] = transition(machine, before, event);
    if (after.value === before.value && after.context === before.context) return record;
    return withoutUndefined({ ...after.context, state: after.value, writeId }) as R;
  };

/** An action that replaces the context by a changed one. */
export const changeBy = <C extends MachineContext, E extends EventObject>(
  change: (context: C, event: E) => C,
) => assign<C, E, undefined, E, never>(({ context, event }) => change(context, event));

/** A machine can only set a field to undefined; a stored record has no such fields. */
const withoutUndefined = (record: object): object =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
