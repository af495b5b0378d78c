// Chooses the waiting tasks that begin now. Pure.
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import type { CallSlot } from "../../libs/contracts/tasks/task.ts";
import { queueKeyOf } from "../../libs/domain/capacity.ts";
import { type CallingHours, isOpen } from "./calling-hours.ts";

/** A waiting task with its next attempt. */
export interface QueuedTask extends CallSlot {
  readonly profile: string;
  readonly queueSeq: number;
  /** The earliest start, in ms since 1970: calendar time, so the wall clock applies. */
  readonly notBeforeMs?: number | undefined;
  /** The rest of the back-off, in ms. */
  readonly restMs: number;
}

export interface Limits {
  /** Limits of running attempts: of one tenant, of one provider, and in total. */
  readonly perTenant: number;
  readonly perProvider: (provider: ProviderName) => number;
  readonly total: number;
  /** The number of tasks that may begin now by the rate. */
  readonly starts: number;
  readonly callingHours: CallingHours | undefined;
  /** Free agents of a profile; infinite for external providers. */
  readonly freeAgents: (provider: ProviderName, profile: string) => number;
}

/**
 * The tasks that begin now, in order. The tenant with the fewest running attempts comes first, and its oldest task.
 * A task that can't begin yet does not delay the tasks behind it.
 *
 * @param queued oldest first
 * @param running every attempt that has a call slot
 * @param now in ms since 1970
 */
export function chooseNext(
  queued: readonly QueuedTask[],
  running: readonly Pick<CallSlot, "tenant" | "provider">[],
  limits: Limits,
  now: number,
): QueuedTask[] {
  if (limits.callingHours !== undefined && !isOpen(limits.callingHours, now)) return [];
  const ofTenant = countBy(running, ({ tenant }) => tenant);
  const ofProvider = countBy(running, ({ provider }) => provider);
  const ofProfile = new Map<string, number>();
  const inQueues = queues(queued);
  const most = Math.min(limits.starts, limits.total - running.length);

  const mayBegin = (task: QueuedTask): boolean =>
    task.restMs <= 0 &&
    (task.notBeforeMs === undefined || task.notBeforeMs <= now) &&
    countOf(ofProvider, task.provider) < limits.perProvider(task.provider) &&
    countOf(ofProfile, queueKeyOf(task)) < limits.freeAgents(task.provider, task.profile);

  const chosen: QueuedTask[] = [];
  while (chosen.length < most) {
    let next: { task: QueuedTask; queue: Queue } | undefined;
    for (const queue of inQueues) {
      if (countOf(ofTenant, queue.tenant) >= limits.perTenant) continue;
      // A task that can't begin now can't begin later in this round, since other tasks only use up capacity.
      while (queue.at < queue.tasks.length && !mayBegin(queue.tasks[queue.at] as QueuedTask)) queue.at += 1;
      const task = queue.tasks[queue.at];
      if (task === undefined) continue;
      const isBetter =
        next === undefined ||
        countOf(ofTenant, task.tenant) - countOf(ofTenant, next.task.tenant) < 0 ||
        (countOf(ofTenant, task.tenant) === countOf(ofTenant, next.task.tenant) &&
          task.queueSeq < next.task.queueSeq);
      if (isBetter) next = { task, queue };
    }
    if (next === undefined) break;
    const { task, queue } = next;
    queue.at += 1;
    chosen.push(task);
    add(ofTenant, task.tenant);
    add(ofProvider, task.provider);
    add(ofProfile, queueKeyOf(task));
  }
  return chosen;
}

interface Queue {
  readonly tenant: string;
  readonly tasks: QueuedTask[];
  at: number;
}

function queues(queued: readonly QueuedTask[]): Queue[] {
  const found = new Map<string, Queue>();
  for (const task of queued) {
    const queue = found.get(task.tenant);
    if (queue === undefined) found.set(task.tenant, { tenant: task.tenant, tasks: [task], at: 0 });
    else queue.tasks.push(task);
  }
  return [...found.values()];
}

const countOf = (counts: ReadonlyMap<string, number>, key: string): number => counts.get(key) ?? 0;

const add = (counts: Map<string, number>, key: string): void => {
  counts.set(key, countOf(counts, key) + 1);
};

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) add(counts, keyOf(item));
  return counts;
}
