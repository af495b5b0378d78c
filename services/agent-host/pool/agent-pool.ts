// The agents of one profile on one host: started ahead of time, given to one session each, and replaced.
import type { AgentProcessStatus, HostProfile, ProfileStatus } from "../../../libs/contracts/fleet/host.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import { processStatus, profileStatus } from "./host-status.ts";
import type { AgentEvent, JobRequest, ProcessToHost } from "./messages.ts";
import { isIdle, pickAgent, pickSurplus } from "./pick-slots.ts";
import { ProcessPool, type ProcessPoolDeps } from "./process-pool.ts";
import type { AgentProcess, Assignment, Slot } from "./slots.ts";
import type { SpawnLimiter } from "./spawn-limiter.ts";
import { Spawner } from "./spawner.ts";
import { Standby, type StandbyRoomSource } from "./standby.ts";
import { logAgentLine } from "./supervised-process.ts";

export interface PoolDeps extends ProcessPoolDeps {
  readonly limiter: SpawnLimiter;
  readonly standby: StandbyRoomSource | undefined;
  /** The number of agent processes that the idle agents are spread over, if there are enough agents. */
  readonly spreadOver: number;
  /** Called when the number or the state of the agents changed. */
  readonly onChange: () => void;
  /** Called when an agent process has loaded the file, with the file's `pool` export. */
  readonly onLoaded: (exported: Partial<PoolSettings>) => void;
  /** Called for everything that happens to an agent while it serves a session. */
  readonly onAgentEvent: (slot: Slot, event: AgentEvent) => void;
}

type SlotMessage = Extract<ProcessToHost, { slot: string | undefined }>;

/** Owns the slots of its profile. A slot goes when its agent is closed or its agent process is gone. */
export class AgentPool {
  readonly #deps: PoolDeps;
  readonly #processes: ProcessPool;
  readonly #standby: Standby;
  readonly #spawner: Spawner;
  #target: PoolSettings = { min: 0, hot: 0, max: 0, perProcess: 1 };
  #isLoaded = false;
  #disabledReason: string | undefined;
  #isClosing = false;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#processes = new ProcessPool(deps, {
      onMessage: (process, message) => this.#onMessage(process, message),
      onGone: (process, reason) => this.#onGone(process, reason),
      onGrown: (process) => this.#replace(process),
    });
    this.#spawner = new Spawner({
      ...deps,
      profile: deps.start.profile,
      processes: this.#processes,
      onRetry: () => this.#onRetry(),
    });
    this.#standby = new Standby({ ...deps, onChange: () => this.#afterChange() });
  }

  /** Starts a first agent process, which finds out whether the file can be used and which pool it exports. */
  probe(): void {
    this.#processes.launch();
  }

  get target(): PoolSettings {
    return this.#target;
  }

  setTarget(target: PoolSettings): void {
    this.#target = target;
    this.refill();
  }

  get status(): ProfileStatus {
    if (this.#disabledReason !== undefined) return "disabled";
    if (this.#spawner.openFor !== undefined) return "failed";
    return this.#isLoaded && !this.#isClosing ? "running" : "stopped";
  }

  profile(): HostProfile {
    const error = this.#disabledReason ?? this.#spawner.lastError;
    const slots = this.#processes.slots();
    return profileStatus(slots, this.status, error, this.#target.max, this.#spawner.warmUpMs);
  }

  /** The number of agents started so far. */
  get spawned(): number {
    return this.#spawner.started;
  }

  processes(): AgentProcessStatus[] {
    const now = this.#deps.clock.monotonic();
    return this.#processes.all().map((process) => processStatus(process, now));
  }

  busySlots(): Slot[] {
    return this.#processes.slots().filter((slot) => slot.assignment !== undefined);
  }

  /**
   * Takes an agent for a session, or returns undefined when no agent of that warmth is free.
   *
   * A request for a hot agent gets only a hot one, since the room depends on it. A request for a warm agent may get a
   * hot one, which then leaves its standby room. A cold agent is started for the request.
   */
  take(requested: Warmth, assignment: Omit<Assignment, "warmth">): Slot | undefined {
    const slots = this.#processes.slots();
    if (requested === "hot") return this.#give(pickAgent(slots, "hot"), assignment, "hot");
    const warm = pickAgent(slots, "warm");
    if (warm !== undefined) return this.#give(warm, assignment, "warm");
    if (this.status !== "running" || slots.length >= this.#target.max) return undefined;
    return this.#give(pickAgent(slots, "cold") ?? this.#startSlot(1), assignment, "cold");
  }

  /** Takes the session from an agent that has not begun to serve it. The agent is idle again. */
  giveBack(slot: Slot): void {
    slot.assignment = undefined;
    if (slot.state === "busy") slot.state = slot.hasStandby && !slot.isConnectingStandby ? "hot" : "warm";
    this.#deps.onChange();
  }

  run(slot: Slot, job: JobRequest): void {
    const { assignment } = slot;
    if (assignment === undefined) return;
    assignment.job = job;
    if (slot.state === "warming") return; // The job runs as soon as the agent is warm.
    slot.state = "busy";
    slot.process.served += 1;
    slot.process.link.send({ type: "run", slot: slot.id, job });
    this.#standby.jobStarted(slot, job.room === undefined);
  }

  release(slot: Slot, reason: string): void {
    if (slot.assignment !== undefined) {
      slot.assignment.isReleased = true;
      slot.assignment.over ??= { how: "released", reason, atMs: this.#deps.clock.monotonic() };
    }
    if (slot.state === "closing") return;
    if (slot.state === "warming") {
      this.#forget(slot); // A warming agent has nothing to close.
    } else {
      slot.state = "closing";
    }
    slot.process.link.send({ type: "release", slot: slot.id, reason });
    this.#deps.onChange();
  }

  /** Reports a session's agent as lost while the agent still runs, because the host stops. */
  giveUp(slot: Slot, reason: string): void {
    if (slot.assignment?.isReleased === false) this.#deps.onAgentEvent(slot, { type: "lost", reason });
  }

  /** Brings the number of idle agents to the target: starts, connects to standby rooms, or releases. */
  refill(): void {
    if (this.#isClosing || !this.#isLoaded || this.#disabledReason !== undefined) return;
    const slots = this.#processes.slots();
    const idle = slots.filter(isIdle);
    const missing = Math.min(this.#target.min - idle.length, this.#target.max - slots.length);
    const spreadOver = Math.min(this.#target.min, this.#deps.spreadOver);
    for (let i = this.#spawner.mayStart(missing); i > 0; i--) this.#startSlot(spreadOver);
    const surplus = pickSurplus(idle, idle.length - this.#target.min);
    for (const slot of surplus) this.release(slot, "the pool is smaller now");
    const hot = idle.filter((slot) => slot.state === "hot");
    for (const slot of hot.slice(this.#target.hot)) this.release(slot, "the pool has fewer hot agents now");
    this.#standby.connectStandby(this.#processes.slots(), this.#target.hot);
  }

  /** Releases idle agents and starts no more. Busy agents continue. */
  drain(): void {
    this.#isClosing = true;
    this.#spawner.stop();
    for (const slot of this.#processes.slots().filter(isIdle)) this.release(slot, "the host is draining");
    this.#deps.onChange();
  }

  /** Fills the pool again after a drain was undone. */
  resume(): void {
    this.#isClosing = false;
    if (this.#processes.all().length === 0) this.#processes.launch();
    this.#afterChange();
  }

  /** Ends every agent process at once. */
  stop(): void {
    this.#isClosing = true;
    this.#spawner.stop();
    for (const process of this.#processes.all()) this.#processes.retire(process);
  }

  #afterChange(): void {
    this.#deps.onChange();
    this.refill();
  }

  #give(slot: Slot | undefined, assignment: Omit<Assignment, "warmth">, warmth: Warmth): Slot | undefined {
    if (slot === undefined) return undefined;
    slot.assignment = { ...assignment, warmth };
    if (slot.state !== "warming") slot.state = "busy";
    this.#afterChange();
    return slot;
  }

  #startSlot(over: number): Slot {
    const slot = this.#spawner.start({ perProcess: this.#target.perProcess, over });
    this.#deps.onChange();
    return slot;
  }

  #onMessage(process: AgentProcess, message: Exclude<ProcessToHost, { type: "pong" }>): void {
    const { log, onLoaded, start } = this.#deps;
    switch (message.type) {
      case "loaded":
        process.isLoaded = true;
        this.#isLoaded = true;
        this.#spawner.processLoaded(process);
        onLoaded(message.pool);
        this.refill();
        this.#deps.onChange();
        return;
      case "disabled":
        this.#disabledReason = message.reason;
        log.warn({ profile: start.profile, reason: message.reason }, "disabled a profile");
        this.#processes.kill(process, message.reason);
        return;
      case "load_failed":
        this.#processes.kill(process, message.error);
        return;
      case "unhealthy":
        log.error(
          { agentPid: process.link.pid, error: message.error },
          "replacing an unhealthy agent process",
        );
        this.#replace(process);
        return;
      case "log":
        logAgentLine(log, start.profile, message);
        this.#onSlotMessage(process.slots.get(message.slot ?? ""), message);
        return;
      default:
        this.#onSlotMessage(process.slots.get(message.slot), message);
    }
  }

  #onSlotMessage(slot: Slot | undefined, message: SlotMessage): void {
    if (slot === undefined) return;
    switch (message.type) {
      case "warm":
        this.#onWarm(slot);
        return;
      case "warm_failed":
        this.#onStartFailed([slot], message.error);
        this.#forget(slot);
        return;
      case "hot":
        this.#standby.succeeded(slot);
        return;
      case "standby_failed":
        this.#standby.failed(slot, message.error);
        return;
      case "ended":
        slot.state = "closing";
        if (slot.assignment?.isReleased === false) this.#deps.onAgentEvent(slot, message);
        this.#deps.onChange();
        return;
      case "left":
        slot.left.resolve();
        return;
      case "closed":
        this.#forget(slot);
        return;
      default:
        this.#deps.onAgentEvent(slot, message);
    }
  }

  #onWarm(slot: Slot): void {
    this.#spawner.succeeded(slot);
    if (slot.state !== "warming") return;
    slot.state = slot.assignment === undefined ? "warm" : "busy";
    if (slot.assignment?.job !== undefined) this.run(slot, slot.assignment.job);
    this.#afterChange();
  }

  #onStartFailed(slots: Slot[], error: string): void {
    for (const slot of slots) {
      if (slot.assignment === undefined || slot.assignment.isReleased) continue;
      this.#deps.onAgentEvent(slot, {
        type: "ended",
        reason: "the agent could not be started",
        error: { message: `The agent could not be started: ${error}`, retryable: true },
        lost: false,
      });
    }
    this.#spawner.failed(error);
  }

  #onRetry(): void {
    if (this.#isClosing) return;
    if (!this.#isLoaded) this.#processes.launch();
    else if (this.#processes.all().length > 0) this.refill();
    else this.#startSlot(1);
  }

  #onGone(process: AgentProcess, reason: string): void {
    const slots = [...process.slots.values()];
    for (const slot of slots) slot.leaveLimiter();
    if (this.#isClosing || this.#disabledReason !== undefined) {
      for (const slot of slots) this.#lose(slot, reason);
      this.#deps.onChange();
      return;
    }
    this.#deps.log.warn(
      { profile: process.profile, agentPid: process.link.pid, reason },
      "lost an agent process",
    );
    // A process that dies before any of its agents was warm would most likely die again at once.
    const hadNone = slots.every((slot) => slot.state === "warming");
    if (!process.isLoaded || (hadNone && slots.length > 0)) this.#onStartFailed(slots, reason);
    else for (const slot of slots) this.#lose(slot, reason);
    this.#afterChange();
  }

  #lose(slot: Slot, reason: string): void {
    slot.left.resolve();
    this.#standby.discard(slot);
    const isServing = slot.assignment?.isReleased === false;
    this.#deps.onAgentEvent(slot, isServing ? { type: "lost", reason } : { type: "closed" });
  }

  /** Starts no more agents in a process, and ends it once the busy ones are done. */
  #replace(process: AgentProcess): void {
    process.isUnhealthy = true;
    for (const slot of process.slots.values()) {
      if (slot.assignment === undefined) this.release(slot, "its agent process is being replaced");
    }
    this.#retireIfEmpty(process);
    this.refill();
  }

  #forget(slot: Slot): void {
    slot.left.resolve();
    slot.leaveLimiter();
    this.#standby.discard(slot);
    slot.process.slots.delete(slot.id);
    this.#deps.onAgentEvent(slot, { type: "closed" });
    this.#afterChange();
    this.#retireIfEmpty(slot.process);
  }

  /** One loaded process stays even without agents, so that a cold start needs no new process. */
  #retireIfEmpty(process: AgentProcess): void {
    if (process.slots.size > 0) return;
    const others = this.#processes.all().some((other) => other !== process && !other.isUnhealthy);
    if (!process.isUnhealthy && !others) return;
    this.#processes.retire(process);
    this.#deps.onChange();
  }
}
