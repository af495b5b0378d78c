// The lines: how many attempts may be under way is decided by one compare-and-set, whoever decides it.
import { type Bus, readOwn, type Stop } from "../../libs/bus/bus.ts";
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
  /** Tasks that begin in a second at most. */
  readonly rate: number;
  readonly nextWriteId: () => string;
}

/** A line as it was last seen, and since when. */
export interface HeldSlot {
  readonly slot: CallSlot;
  readonly seenAtMs: number;
}

/**
 * A task begins only with a line, and all lines that are taken stand in one record. Whoever gives some out reads the
 * record, takes away those whose attempt is over by the task's own record as it stands in the store, and saves: who
 * is slower than another has decided on what isn't so any more, and the save fails. So there are never more attempts
 * under way than the limits allow, with no leader, and no lease that a clock would have to end.
 *
 * The rate is kept the same way: each process counts the time since it saw who gave out lines last.
 */
export class CallSlotTable {
  readonly #deps: Deps;
  readonly #held = new Map<string, HeldSlot>();
  #given = { count: 0, seenAtMs: Number.NEGATIVE_INFINITY };
  #revision = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Follows the record until stopped. */
  watch(): Promise<Stop> {
    return this.#deps.bus.watch(callSlots, ({ value, revision }) => {
      if (value !== undefined) this.#see(value, revision);
    });
  }

  held(): HeldSlot[] {
    return [...this.#held.values()];
  }

  /** How many may be given out now by the rate. */
  startsByRate(): number {
    const { clock, rate } = this.#deps;
    const passedMs = clock.monotonic() - this.#given.seenAtMs;
    return passedMs >= (this.#given.count / rate) * 1000 ? Math.max(1, Math.floor(rate)) : 0;
  }

  /**
   * Gives out lines.
   * @param choose which tasks get one, given all that have
   * @returns the new lines; none when another process was faster
   */
  async grant(choose: (taken: readonly CallSlot[]) => readonly CallSlot[]): Promise<readonly CallSlot[]> {
    const { bus, nextWriteId } = this.#deps;
    // One that can't be read is made anew from the tasks: what is under way has a line.
    const { value, revision } = await readOwn(bus, callSlots, CALL_SLOTS_KEY);
    const taken = value === undefined ? this.#linesOfActive() : await this.#stillTaken(value.slots);
    const chosen = choose(taken);
    if (chosen.length === 0) return [];
    const given = chosen.map(({ tenant, taskId, attempt, life, provider }) => ({
      tenant,
      taskId,
      attempt,
      life,
      provider,
    }));
    const next: CallSlots = {
      v: 1,
      slots: [...taken, ...given],
      granted: given.length,
      writeId: nextWriteId(),
    };
    const saved = await bus.save(callSlots, next, revision);
    if (saved === undefined) return [];
    this.#see(next, saved);
    return given;
  }

  #see({ slots: lines, granted: given }: CallSlots, revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    const now = this.#deps.clock.monotonic();
    this.#given = { count: given, seenAtMs: now };
    const keys = new Set(lines.map(keyOf));
    for (const key of this.#held.keys()) if (!keys.has(key)) this.#held.delete(key);
    for (const line of lines)
      if (!this.#held.has(keyOf(line))) this.#held.set(keyOf(line), { slot: line, seenAtMs: now });
  }

  /** Without those of attempts that are over: by the view where it says that they go on, else by the store itself. */
  async #stillTaken(lines: readonly CallSlot[]): Promise<CallSlot[]> {
    const { bus, tasks: view } = this.#deps;
    const isTaken = async (line: CallSlot): Promise<boolean> => {
      const seen = view.get(line.tenant, line.taskId);
      if (seen !== undefined && needsSlot(seen.record, line)) return true;
      const entry = await bus.read(tasks, taskKey(line.tenant, line.taskId));
      return entry !== undefined && needsSlot(entry.value, line);
    };
    const taken = await Promise.all(lines.map(isTaken));
    return lines.filter((_, index) => taken[index]);
  }

  #linesOfActive(): CallSlot[] {
    return this.#deps.tasks.active().map(({ record }) => ({
      tenant: record.tenant,
      taskId: record.taskId,
      attempt: record.attempt,
      life: record.life,
      provider: record.provider,
    }));
  }
}

/** The attempt of the line is under way, or is about to begin. */
const needsSlot = (record: TaskRecord, line: CallSlot): boolean =>
  record.life === line.life &&
  ((record.attempt === line.attempt && isActiveTask(record.state)) || isReserved(record, line));

/** The line was given, and the task doesn't know of it yet. */
export const isReserved = (record: TaskRecord, line: CallSlot): boolean =>
  record.life === line.life && record.attempt === line.attempt - 1 && record.state === "queued";

const keyOf = ({ tenant, taskId: task, attempt, life }: CallSlot): string =>
  `${tenant}.${task}.${attempt}.${life}`;
