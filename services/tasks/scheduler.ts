// Grants call slots to waiting tasks, and reports deadlines and expired tasks.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import { taskEvents } from "../../libs/contracts/streams.ts";
import type { CallSlot, TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { freeAgentCount } from "../../libs/domain/capacity.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import { isoNow, repeat } from "../../libs/runtime/clock.ts";
import { type CallSlotTable, isReserved, slotKey } from "./call-slots.ts";
import { callStatusOf } from "./call-status.ts";
import { chooseNext, type Limits, type QueuedTask } from "./choose-next.ts";
import type { TaskView } from "./task-view.ts";

interface Deps extends ServiceDeps {
  readonly tasks: TaskView;
  readonly hosts: HostView;
  readonly slots: CallSlotTable;
  readonly limits: Pick<Limits, "perTenant" | "perProvider" | "total" | "callingHours">;
}

const TICK_MS = 500;
const SOON_MS = 25;
/** A grant whose task still waits after this time is published again, since its process may be dead. */
const GRANT_AGAIN_MS = 2000;
const DEADLINE_AGAIN_MS = 5000;
const LOOK_FOR_EXPIRED_MS = 60_000;
/** A task expires this long after its time, before the bucket's time to live removes it. */
const EXPIRED_MS = 14 * 24 * 60 * 60 * 1000;

/** Several instances may run at once: their events are idempotent, and grants are decided by compare-and-set. */
export class Scheduler {
  readonly #deps: Deps;
  readonly #doneAtMs = new Map<string, number>();
  readonly #stopRepeating: () => void;
  #cancelSoon = () => {};
  #isGranting = false;
  #isDue = false;
  #isStopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    const onError = (error: unknown) => deps.log.warn({ error, retrying: true }, "failed to schedule tasks");
    this.#stopRepeating = repeat(deps.clock, TICK_MS, () => this.#tick(), onError);
    const soon = () => this.#soon(onError);
    deps.tasks.onChange(soon);
    deps.hosts.onChange(soon);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopRepeating();
    this.#cancelSoon();
  }

  /** Coalesces many changes into one pass through the queue. */
  #soon(onError: (error: unknown) => void): void {
    if (this.#isDue || this.#isStopped) return;
    this.#isDue = true;
    this.#cancelSoon = this.#deps.clock.after(SOON_MS, () => {
      this.#isDue = false;
      this.#grantSlots().catch(onError);
    });
  }

  async #tick(): Promise<void> {
    if (this.#isStopped) return;
    await this.#grantSlots();
    await this.#repeatGrants();
    await this.#reportDeadlines();
    await this.#reportExpired();
    this.#forgetDone();
  }

  async #grantSlots(): Promise<void> {
    const { slots, tasks, limits, clock } = this.#deps;
    if (this.#isGranting || this.#isStopped || tasks.queued().length === 0) return;
    this.#isGranting = true;
    try {
      const starts = slots.startsByRate();
      if (starts === 0) return;
      const queued = this.#queued();
      const now = clock.now();
      const choose = (taken: readonly CallSlot[]) => {
        const held = new Set(taken.map(slotKey));
        const waiting = queued.filter((task) => !held.has(slotKey(task)));
        return chooseNext(waiting, taken, { ...limits, starts, freeAgents: this.#freeAgents(taken) }, now);
      };
      // A trial by the view saves the read when nothing can be granted.
      const held = slots.held().flatMap(({ slot }) => (this.#isOver(slot) ? [] : [slot]));
      if (choose(held).length === 0) return;
      const granted = await slots.grant(choose);
      await Promise.all(granted.map((slot) => this.#publishGrant(slot)));
    } finally {
      this.#isGranting = false;
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

  /** By the view alone, which may be behind. */
  #isOver({ tenant, taskId, attempt, life }: CallSlot): boolean {
    const seen = this.#deps.tasks.get(tenant, taskId);
    return seen === undefined || seen.record.attempt > attempt || seen.record.life > life;
  }

  /**
   * Free agents, less those that are promised to attempts without one. A number that is too large does no harm: the
   * session waits for an agent, and the task is queued again.
   */
  #freeAgents(taken: readonly CallSlot[]): Limits["freeAgents"] {
    const hosts = this.#deps.hosts.all();
    const promised = new Map<string, number>();
    for (const { tenant, taskId } of taken) {
      const record = this.#deps.tasks.get(tenant, taskId)?.record;
      if (record === undefined || record.attempts.at(-1)?.agentReady === true) continue;
      promised.set(record.profile, (promised.get(record.profile) ?? 0) + 1);
    }
    return (provider, profile) =>
      isExternal(provider)
        ? Number.POSITIVE_INFINITY
        : freeAgentCount(hosts, profile) - (promised.get(profile) ?? 0);
  }

  async #repeatGrants(): Promise<void> {
    const now = this.#deps.clock.monotonic();
    for (const { slot, seenAtMs } of this.#deps.slots.held()) {
      const seen = this.#deps.tasks.get(slot.tenant, slot.taskId);
      if (seen === undefined || !isReserved(seen.record, slot) || now - seenAtMs < GRANT_AGAIN_MS) continue;
      if (this.#wasDone(`grant ${slotKey(slot)}`, GRANT_AGAIN_MS)) continue;
      await this.#publishGrant(slot);
    }
  }

  async #reportDeadlines(): Promise<void> {
    const { bus, clock, log, tasks } = this.#deps;
    const now = clock.monotonic();
    for (const { record, attemptSeenAtMs } of tasks.active()) {
      const waitedMs = now - attemptSeenAtMs;
      if (waitedMs < record.deadlineMs.attempt) continue;
      const { tenant, taskId, attempt, provider } = record;
      const sessionId = record.attempts.at(-1)?.sessionId;
      if (sessionId === undefined || this.#wasDone(`deadline ${taskId}`, DEADLINE_AGAIN_MS)) continue;
      const { call } = await callStatusOf(bus, tenant, sessionId, provider);
      log.warn({ taskId, attempt, waitedMs }, "an attempt exceeded its deadline");
      await bus.streams.publish(taskEvents, {
        ...this.#about(record),
        type: "deadline_exceeded",
        attempt,
        waitedMs: Math.round(waitedMs),
        ...(call === undefined ? {} : { call }),
      });
    }
  }

  async #reportExpired(): Promise<void> {
    if (this.#wasDone("look for expired tasks", LOOK_FOR_EXPIRED_MS)) return;
    const now = this.#deps.clock.now();
    for (const { record } of this.#deps.tasks.queued()) {
      if (now - wantedAtMs(record) < EXPIRED_MS) continue;
      await this.#deps.bus.streams.publish(taskEvents, {
        ...this.#about(record),
        type: "expired",
        attempt: record.attempt,
        reason: `The task could not begin within ${EXPIRED_MS / 86_400_000} days.`,
      });
    }
  }

  async #publishGrant(slot: CallSlot): Promise<void> {
    const { attempt, life, taskId } = slot;
    try {
      await this.#deps.bus.streams.publish(taskEvents, {
        ...this.#about(slot),
        type: "slot_granted",
        attempt,
        life,
      });
    } catch (error) {
      const fields = { error, taskId, attempt, retrying: true };
      this.#deps.log.warn(fields, "failed to publish a granted call slot");
    }
  }

  #about = ({ tenant, taskId }: { readonly tenant: string; readonly taskId: string }) => ({
    ...{ tenant, taskId, at: isoNow(this.#deps.clock) },
  });

  #wasDone(what: string, withinMs: number): boolean {
    const now = this.#deps.clock.monotonic();
    const before = this.#doneAtMs.get(what);
    if (before !== undefined && now - before < withinMs) return true;
    this.#doneAtMs.set(what, now);
    return false;
  }

  #forgetDone(): void {
    const now = this.#deps.clock.monotonic();
    for (const [what, atMs] of this.#doneAtMs)
      if (now - atMs > 2 * LOOK_FOR_EXPIRED_MS) this.#doneAtMs.delete(what);
  }
}

/** The scheduled time, or the last time at which the task was queued, for example by a restart. */
const wantedAtMs = ({ scheduleAt, createdAt, changes }: TaskRecord): number =>
  Math.max(Date.parse(scheduleAt ?? createdAt), Date.parse(changes?.at(-1)?.at ?? createdAt));
