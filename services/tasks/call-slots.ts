// The lines: how many attempts may be under way is decided by one compare-and-set, whoever decides it.
import { type Bus, readOwn, type Stop } from "../../libs/bus/bus.ts";
import { taskLines, tasks } from "../../libs/contracts/buckets.ts";
import {
  isActiveTask,
  TASK_LINES_KEY,
  type TaskLine,
  type TaskLines,
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
  readonly nextOpId: () => string;
}

/** A line as it was last seen, and since when. */
export interface HeldLine {
  readonly line: TaskLine;
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
export class Lines {
  readonly #deps: Deps;
  readonly #held = new Map<string, HeldLine>();
  #given = { count: 0, seenAtMs: Number.NEGATIVE_INFINITY };
  #revision = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Follows the record until stopped. */
  watch(): Promise<Stop> {
    return this.#deps.bus.watch(taskLines, ({ value, revision }) => {
      if (value !== undefined) this.#see(value, revision);
    });
  }

  held(): HeldLine[] {
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
  async giveOut(choose: (taken: readonly TaskLine[]) => readonly TaskLine[]): Promise<readonly TaskLine[]> {
    const { bus, nextOpId } = this.#deps;
    // One that can't be read is made anew from the tasks: what is under way has a line.
    const { value, revision } = await readOwn(bus, taskLines, TASK_LINES_KEY);
    const taken = value === undefined ? this.#linesOfActive() : await this.#stillTaken(value.lines);
    const chosen = choose(taken);
    if (chosen.length === 0) return [];
    const given = chosen.map(({ tenant, task, attempt, life, provider }) => ({
      tenant,
      task,
      attempt,
      life,
      provider,
    }));
    const next: TaskLines = { v: 1, lines: [...taken, ...given], given: given.length, opId: nextOpId() };
    const saved = await bus.save(taskLines, next, revision);
    if (saved === undefined) return [];
    this.#see(next, saved);
    return given;
  }

  #see({ lines, given }: TaskLines, revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    const now = this.#deps.clock.monotonic();
    this.#given = { count: given, seenAtMs: now };
    const keys = new Set(lines.map(keyOf));
    for (const key of this.#held.keys()) if (!keys.has(key)) this.#held.delete(key);
    for (const line of lines)
      if (!this.#held.has(keyOf(line))) this.#held.set(keyOf(line), { line, seenAtMs: now });
  }

  /** Without those of attempts that are over: by the view where it says that they go on, else by the store itself. */
  async #stillTaken(lines: readonly TaskLine[]): Promise<TaskLine[]> {
    const { bus, tasks: view } = this.#deps;
    const isTaken = async (line: TaskLine): Promise<boolean> => {
      const seen = view.get(line.tenant, line.task);
      if (seen !== undefined && needsLine(seen.record, line)) return true;
      const entry = await bus.read(tasks, taskKey(line.tenant, line.task));
      return entry !== undefined && needsLine(entry.value, line);
    };
    const taken = await Promise.all(lines.map(isTaken));
    return lines.filter((_, index) => taken[index]);
  }

  #linesOfActive(): TaskLine[] {
    return this.#deps.tasks.active().map(({ record }) => ({
      tenant: record.tenant,
      task: record.id,
      attempt: record.attempt,
      life: record.life,
      provider: record.provider,
    }));
  }
}

/** The attempt of the line is under way, or is about to begin. */
export const needsLine = (record: TaskRecord, line: TaskLine): boolean =>
  record.life === line.life &&
  ((record.attempt === line.attempt && isActiveTask(record.state)) || isPromised(record, line));

/** The line was given, and the task doesn't know of it yet. */
export const isPromised = (record: TaskRecord, line: TaskLine): boolean =>
  record.life === line.life && record.attempt === line.attempt - 1 && record.state === "queued";

const keyOf = ({ tenant, task, attempt, life }: TaskLine): string => `${tenant}.${task}.${attempt}.${life}`;
