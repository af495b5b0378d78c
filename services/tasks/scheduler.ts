// Gives lines to the tasks whose turn it is, and says what did not happen to those under way.
import type { Bus } from "../../libs/bus/bus.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import { taskEvents } from "../../libs/contracts/streams.ts";
import type { CallSlot, TaskEvent } from "../../libs/contracts/tasks/task.ts";
import { freeAgentCount } from "../../libs/domain/capacity.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import { type Clock, isoNow, repeat } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { type CallSlotTable, isReserved } from "./call-slots.ts";
import { callStatusOf } from "./call-status.ts";
import { chooseNext, type Limits, type QueuedTask } from "./choose-next.ts";
import type { SeenTask, TaskView } from "./task-view.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly tasks: TaskView;
  readonly hosts: HostView;
  readonly lines: CallSlotTable;
  readonly limits: Pick<Limits, "perTenant" | "perProvider" | "total" | "callingHours">;
}

const TICK_MS = 500;
const SOON_MS = 25;
/** A line that was given and whose task still waits after this is said again: who gave it may be gone. */
const SAY_AGAIN_MS = 2000;
const OVERDUE_AGAIN_MS = 5000;
const LOOK_FOR_EXPIRED_MS = 60_000;
/** A task that waited so long after its time is wanted by nobody any more, and the store would soon forget it. */
const EXPIRED_MS = 14 * 24 * 60 * 60 * 1000;

/**
 * Several processes do this at the same time; what they say is idempotent, and who gives out lines is decided by
 * compare-and-set.
 */
export class Scheduler {
  readonly #deps: Deps;
  readonly #saidAtMs = new Map<string, number>();
  readonly #stopRepeating: () => void;
  #cancelSoon = () => {};
  #isAtWork = false;
  #isDue = false;
  #isStopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    const again = (error: unknown) => deps.log.warn({ error }, "scheduling tasks failed; it is tried again");
    this.#stopRepeating = repeat(deps.clock, TICK_MS, () => this.#tick(), again);
    const soon = () => this.#soon(again);
    deps.tasks.onChange(soon);
    deps.hosts.onChange(soon);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopRepeating();
    this.#cancelSoon();
  }

  /** Many changes in a row make one look, which goes through the whole queue. */
  #soon(onError: (error: unknown) => void): void {
    if (this.#isDue || this.#isStopped) return;
    this.#isDue = true;
    this.#cancelSoon = this.#deps.clock.after(SOON_MS, () => {
      this.#isDue = false;
      this.#giveOut().catch(onError);
    });
  }

  async #tick(): Promise<void> {
    if (this.#isStopped) return;
    await this.#giveOut();
    await this.#sayAgain();
    await this.#sayOverdue();
    await this.#sayExpired();
    this.#forgetSaid();
  }

  async #giveOut(): Promise<void> {
    const { lines, tasks, limits, clock } = this.#deps;
    if (this.#isAtWork || this.#isStopped || tasks.queued().length === 0) return;
    this.#isAtWork = true;
    try {
      const starts = lines.startsByRate();
      if (starts === 0) return;
      const queued = this.#queued();
      const now = clock.now();
      const choose = (taken: readonly CallSlot[]) => {
        const held = new Set(taken.map(keyOf));
        const waiting = queued.filter((task) => !held.has(keyOf(task)));
        return chooseNext(waiting, taken, { ...limits, starts, freeAgents: this.#freeAgents(taken) }, now);
      };
      // By what was last seen: nothing is read while nothing could be given.
      if (choose(lines.held().flatMap(({ slot: line }) => (this.#isOver(line) ? [] : [line]))).length === 0)
        return;
      const given = await lines.grant(choose);
      await Promise.all(given.map((line) => this.#sayGiven(line)));
    } finally {
      this.#isAtWork = false;
    }
  }

  #queued(): QueuedTask[] {
    const now = this.#deps.clock.monotonic();
    return this.#deps.tasks.queued().map(({ record, seenAtMs }) => ({
      tenant: record.tenant,
      taskId: record.taskId,
      attempt: record.attempt + 1,
      life: record.life,
      provider: record.provider,
      profile: record.profile,
      queueSeq: record.queueSeq,
      notBeforeMs: record.scheduleAt === undefined ? undefined : Date.parse(record.scheduleAt),
      restMs: record.backoffMs - (now - seenAtMs),
    }));
  }

  /** By the view alone, which may be behind: only good for not looking at all. */
  #isOver(line: CallSlot): boolean {
    const seen = this.#deps.tasks.get(line.tenant, line.taskId);
    return seen === undefined || seen.record.attempt > line.attempt || seen.record.life > line.life;
  }

  /**
   * Free agents, less those that were promised to attempts which have none yet. A number that is too large harms
   * nobody: the session waits for an agent, and the task is queued again.
   */
  #freeAgents(taken: readonly CallSlot[]): Limits["freeAgents"] {
    const hosts = this.#deps.hosts.all();
    const promised = new Map<string, number>();
    for (const line of taken) {
      const record = this.#deps.tasks.get(line.tenant, line.taskId)?.record;
      if (record === undefined || record.attempts.at(-1)?.agentReady === true) continue;
      promised.set(record.profile, (promised.get(record.profile) ?? 0) + 1);
    }
    return (provider, profile) =>
      isExternal(provider)
        ? Number.POSITIVE_INFINITY
        : freeAgentCount(hosts, profile) - (promised.get(profile) ?? 0);
  }

  async #sayAgain(): Promise<void> {
    const now = this.#deps.clock.monotonic();
    for (const { slot: line, seenAtMs } of this.#deps.lines.held()) {
      const seen = this.#deps.tasks.get(line.tenant, line.taskId);
      if (seen === undefined || !isReserved(seen.record, line) || now - seenAtMs < SAY_AGAIN_MS) continue;
      if (this.#wasSaid(`given ${keyOf(line)}`, SAY_AGAIN_MS)) continue;
      await this.#sayGiven(line);
    }
  }

  async #sayOverdue(): Promise<void> {
    const { bus, clock, log, tasks } = this.#deps;
    const now = clock.monotonic();
    for (const { record, attemptSeenAtMs } of tasks.active()) {
      const waitedMs = now - attemptSeenAtMs;
      if (waitedMs < record.deadlineMs.attempt) continue;
      const sessionId = record.attempts.at(-1)?.sessionId;
      if (sessionId === undefined || this.#wasSaid(`overdue ${record.taskId}`, OVERDUE_AGAIN_MS)) continue;
      const { call } = await callStatusOf(bus, record.tenant, sessionId, record.provider);
      log.warn({ taskId: record.taskId, attempt: record.attempt, waitedMs }, "an attempt is past its limit");
      await this.#say({
        ...this.#about(record),
        type: "deadline_exceeded",
        attempt: record.attempt,
        waitedMs: Math.round(waitedMs),
        ...(call === undefined ? {} : { call }),
      });
    }
  }

  async #sayExpired(): Promise<void> {
    if (this.#wasSaid("looked for what has expired", LOOK_FOR_EXPIRED_MS)) return;
    const now = this.#deps.clock.now();
    for (const { record } of this.#deps.tasks.queued()) {
      if (now - wantedAtMs(record) < EXPIRED_MS) continue;
      await this.#say({
        ...this.#about(record),
        type: "expired",
        attempt: record.attempt,
        reason: `it could not begin within ${EXPIRED_MS / 86_400_000} days`,
      });
    }
  }

  async #sayGiven(line: CallSlot): Promise<void> {
    const { tenant, taskId: task, attempt, life } = line;
    try {
      await this.#say({
        type: "slot_granted",
        tenant,
        taskId: task,
        at: isoNow(this.#deps.clock),
        attempt,
        life,
      });
    } catch (error) {
      this.#deps.log.warn({ error, task, attempt }, "a line was given but not said; it is said again");
    }
  }

  #about = (record: SeenTask["record"]) => ({
    tenant: record.tenant,
    taskId: record.taskId,
    at: isoNow(this.#deps.clock),
  });

  async #say(event: TaskEvent): Promise<void> {
    await this.#deps.bus.streams.publish(taskEvents, event);
  }

  #wasSaid(what: string, withinMs: number): boolean {
    const now = this.#deps.clock.monotonic();
    const before = this.#saidAtMs.get(what);
    if (before !== undefined && now - before < withinMs) return true;
    this.#saidAtMs.set(what, now);
    return false;
  }

  #forgetSaid(): void {
    const now = this.#deps.clock.monotonic();
    for (const [what, atMs] of this.#saidAtMs)
      if (now - atMs > 2 * LOOK_FOR_EXPIRED_MS) this.#saidAtMs.delete(what);
  }
}

/** Its own time, or when it was queued last, as by somebody who gave it another life. */
const wantedAtMs = ({ scheduleAt, createdAt, changes: moves }: SeenTask["record"]): number =>
  Math.max(Date.parse(scheduleAt ?? createdAt), Date.parse(moves?.at(-1)?.at ?? createdAt));

const keyOf = ({ tenant, taskId: task, attempt, life }: CallSlot): string =>
  `${tenant}.${task}.${attempt}.${life}`;
