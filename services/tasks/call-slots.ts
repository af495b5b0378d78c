// The call slots: one compare-and-set decides how many attempts may run, on any instance.
import { type Bus, getOwn, type Stop } from "../../libs/bus/bus.ts";
import { callSlots, tasks } from "../../libs/contracts/buckets.ts";
import {
  CALL_SLOTS_KEY,
  type CallSlot,
  type CallSlots,
  isActiveTask,
  type TaskRecord,
  taskKey,
} from "../../libs/contracts/tasks/task.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { TaskView } from "./task-view.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly tasks: TaskView;
  /** The most tasks that begin per second. */
  readonly rate: number;
  readonly nextWriteId: () => string;
}

/** A slot, and when this process first saw it. */
export interface HeldSlot {
  readonly slot: CallSlot;
  readonly seenAtMs: number;
}

/**
 * A task needs a call slot to begin, and one record holds all slots. To grant slots, a process reads the record, frees
 * the slots of attempts that are over by the stored tasks, and saves. A slower process has decided on an old revision,
 * and its save fails. The limits therefore hold without a leader, and without a lease that a clock would end.
 *
 * The rate works the same way: each process counts the time since it saw the last grant.
 */
export class CallSlotTable {
  readonly #deps: Deps;
  readonly #held = new Map<string, HeldSlot>();
  #granted = { count: 0, seenAtMs: Number.NEGATIVE_INFINITY };
  #revision = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Follows the record until stopped. */
  watch(): Promise<Stop> {
    return this.#deps.bus.kv.watch(callSlots, ({ value, revision }) => {
      if (value !== undefined) this.#see(value, revision);
    });
  }

  held(): HeldSlot[] {
    return [...this.#held.values()];
  }

  /** The number of tasks that may begin now by the rate. */
  startsByRate(): number {
    const { clock, rate } = this.#deps;
    const passedMs = clock.monotonic() - this.#granted.seenAtMs;
    return passedMs >= (this.#granted.count / rate) * 1000 ? Math.max(1, Math.floor(rate)) : 0;
  }

  /**
   * Grants slots.
   * @param choose the attempts that get one, given the slots that are taken
   * @returns the new slots; none when another process was faster
   */
  async grant(choose: (taken: readonly CallSlot[]) => readonly CallSlot[]): Promise<readonly CallSlot[]> {
    const { bus, nextWriteId, tasks: view } = this.#deps;
    const { value, revision } = await getOwn(bus, callSlots, CALL_SLOTS_KEY);
    // An unreadable record is rebuilt from the tasks: every active attempt has a slot.
    const taken =
      value === undefined
        ? view.active().map(({ record }) => slotOf(record))
        : await this.#stillTaken(value.slots);
    const granted = choose(taken).map(slotOf);
    if (granted.length === 0) return [];
    const next: CallSlots = {
      v: 1,
      slots: [...taken, ...granted],
      granted: granted.length,
      writeId: nextWriteId(),
    };
    const saved = await bus.kv.update(callSlots, next, revision);
    if (saved === undefined) return [];
    this.#see(next, saved);
    return granted;
  }

  #see({ slots, granted }: CallSlots, revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    const seenAtMs = this.#deps.clock.monotonic();
    this.#granted = { count: granted, seenAtMs };
    const keys = new Set(slots.map(slotKey));
    for (const key of this.#held.keys()) if (!keys.has(key)) this.#held.delete(key);
    for (const slot of slots)
      if (!this.#held.has(slotKey(slot))) this.#held.set(slotKey(slot), { slot, seenAtMs });
  }

  /** The slots of attempts that are not over. The view is trusted when it knows the attempt as active; else the store. */
  async #stillTaken(slots: readonly CallSlot[]): Promise<CallSlot[]> {
    const { bus, tasks: view } = this.#deps;
    const isTaken = async (slot: CallSlot): Promise<boolean> => {
      const seen = view.get(slot.tenant, slot.taskId);
      if (seen !== undefined && needsSlot(seen.record, slot)) return true;
      const entry = await bus.kv.get(tasks, taskKey(slot.tenant, slot.taskId));
      return entry !== undefined && needsSlot(entry.value, slot);
    };
    const taken = await Promise.all(slots.map(isTaken));
    return slots.filter((_, index) => taken[index]);
  }
}

const slotOf = ({ tenant, taskId, attempt, life, provider }: CallSlot): CallSlot => ({
  ...{ tenant, taskId, attempt, life, provider },
});

/** The attempt of the slot is active, or about to begin. */
const needsSlot = (record: TaskRecord, slot: CallSlot): boolean =>
  record.life === slot.life &&
  ((record.attempt === slot.attempt && isActiveTask(record.state)) || isReserved(record, slot));

/** The slot was granted, and the task has not processed that yet. */
export const isReserved = (record: TaskRecord, slot: CallSlot): boolean =>
  record.life === slot.life && record.attempt === slot.attempt - 1 && record.state === "queued";

export const slotKey = ({ tenant, taskId, attempt, life }: Omit<CallSlot, "provider">): string =>
  `${tenant}.${taskId}.${attempt}.${life}`;
