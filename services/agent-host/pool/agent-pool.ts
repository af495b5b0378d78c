// The agents of one profile on one host: started ahead of time, given to one session each, and replaced.
import type { AgentProcessStatus, HostProfile, ProfileStatus } from "../../../libs/contracts/fleet/host.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import { AgentFile } from "./agent-file.ts";
import { ChangedFile } from "./changed-file.ts";
import { loadingTime, processStatus, profileStatus } from "./host-status.ts";
import type { JobRequest, ProcessToHost } from "./messages.ts";
import { isIdle, pickAgent, pickSurplus } from "./pick-slots.ts";
import type { PoolDeps } from "./pool-deps.ts";
import { ProcessPool } from "./process-pool.ts";
import type { AgentProcess, Assignment, Slot } from "./slots.ts";
import { Spawner, startFailed } from "./spawner.ts";
import { Standby } from "./standby.ts";
import { logAgentLine } from "./supervised-process.ts";

type SlotMessage = Extract<ProcessToHost, { slot: string | undefined }>;

/** Owns the slots of its profile. A slot goes when its agent is closed or its agent process is gone. */
export class AgentPool {
  readonly #deps: PoolDeps;
  readonly #processes: ProcessPool;
  readonly #standby: Standby;
  readonly #spawner: Spawner;
  readonly #changedFile: ChangedFile;
  #target: PoolSettings = { min: 0, hot: 0, max: 0, perProcess: 1 };
  readonly #file = new AgentFile();
  #isClosing = false;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#processes = new ProcessPool(deps, {
      onMessage: (process, message) => this.#onMessage(process, message),
      onGone: (process, reason) => this.#onGone(process, reason),
      onWorn: (process, fault) => {
        this.#file.fault = fault ?? this.#file.fault;
        this.#replace(process);
      },
    });
    this.#spawner = new Spawner({
      ...deps,
      profile: deps.start.profile,
      processes: this.#processes,
      onPrewarmTimeout: (slot, error) => {
        slot.process.link.send({ type: "release", slot: slot.id, reason: error });
        this.#failStart(slot, error);
      },
      onRetry: () => this.#onRetry(),
      refill: () => this.refill(),
    });
    this.#changedFile = new ChangedFile({
      ...deps,
      processes: this.#processes,
      replace: (process) => this.#replace(process),
      onRetry: () => !this.#isClosing && this.#changedFile.load(),
    });
    this.#standby = new Standby({ ...deps, onChange: () => this.#afterChange() });
  }

  /** Starts a first agent process, which finds out whether the file can be used and which pool it exports. */
  probe(): void {
    this.#processes.launch();
  }

  /** Loads the changed file. Its agents replace the idle ones of the old file, and busy agents continue. */
  reload(): void {
    if (this.#isClosing) return;
    this.#file.changed();
    if (this.#file.known !== undefined) this.#changedFile.load();
    else if (!this.#spawner.retryNow()) this.#changedFile.loadFirst();
  }

  get target(): PoolSettings {
    return this.#target;
  }

  setTarget(target: PoolSettings): void {
    this.#target = target;
    this.refill();
  }

  get status(): ProfileStatus {
    if (this.#file.disabledReason !== undefined) return "disabled";
    const hasAgent = pickAgent(this.#processes.slots(), "warm") !== undefined;
    if (this.#spawner.openFor !== undefined && !hasAgent) return "failed";
    return this.#file.isUsable && !this.#isClosing ? "running" : "stopped";
  }

  profile(): HostProfile {
    const { disabledReason, fault, problem } = this.#file;
    const error = disabledReason ?? this.#spawner.lastError ?? this.#changedFile.fault ?? problem ?? fault;
    const now = this.#deps.clock.monotonic();
    const slots = this.#processes.slots();
    return {
      ...profileStatus(slots, this.status, error, this.#target.max, this.#spawner.warmUpMs),
      ...this.#file.known,
      ...(this.status === "stopped" && !this.#isClosing ? loadingTime(this.#processes.all(), now) : {}),
    };
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
    const mayStart = this.status === "running" && this.#spawner.openFor === undefined;
    if (!mayStart || slots.length >= this.#target.max) return undefined;
    return this.#give(pickAgent(slots, "cold") ?? this.#startSlot(1), assignment, "cold");
  }

  /** Takes the session from an agent that has not begun to serve it. The agent is idle again. */
  giveBack(slot: Slot): void {
    slot.assignment = undefined;
    if (slot.state === "busy") slot.state = slot.hasStandby && !slot.isConnectingStandby ? "hot" : "warm";
    this.#deps.onChange();
  }

  run(slot: Slot, job: JobRequest): void {
    if (slot.assignment === undefined) return;
    slot.assignment.job = job;
    if (slot.state === "warming") return; // The job runs as soon as the agent is warm.
    slot.state = "busy";
    slot.process.served += 1;
    slot.process.link.send({ type: "run", slot: slot.id, job });
    this.#standby.jobStarted(slot, job.room === undefined);
  }

  /** @param sessionGoesOn whether another agent continues the slot's session */
  release(slot: Slot, reason: string, sessionGoesOn = false): void {
    if (slot.assignment !== undefined) {
      slot.assignment.isReleased = true;
      slot.assignment.over ??= { how: "released", reason, atMs: this.#deps.clock.monotonic() };
    }
    if (slot.state === "closing") return;
    if (slot.state === "warming")
      this.#forget(slot); // A warming agent has nothing to close.
    else slot.state = "closing";
    slot.process.link.send({ type: "release", slot: slot.id, reason, sessionGoesOn });
    this.#deps.onChange();
  }

  /** Reports a session's agent as lost while the agent still runs, because the host stops. */
  giveUp(slot: Slot, reason: string): void {
    if (slot.assignment?.isReleased === false) this.#deps.onAgentEvent(slot, { type: "lost", reason });
  }

  /** Brings the number of idle agents to the target: starts, connects to standby rooms, or releases. */
  refill(): void {
    if (this.#isClosing || !this.#file.isUsable) return;
    const slots = this.#processes.slots();
    const idle = slots.filter(isIdle);
    const later = this.#file.isProcessIsolated ? this.#spawner.putOff() : 0;
    const missing = Math.min(this.#target.min - later - idle.length, this.#target.max - slots.length);
    const spreadOver = Math.min(this.#target.min, this.#deps.spreadOver);
    for (let i = this.#spawner.mayStart(missing); i > 0; i--) this.#startSlot(spreadOver);
    const surplus = pickSurplus(idle, idle.length - this.#target.min);
    for (const slot of surplus) this.release(slot, "the pool is smaller now");
    const wanted = this.#standby.isUseful ? this.#target.hot : 0;
    for (const slot of idle.filter(({ state }) => state === "hot").slice(wanted))
      this.release(slot, "the pool has fewer hot agents now");
    this.#standby.connectStandby(this.#processes.slots(), wanted);
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
    if (this.#changedFile.fault !== undefined) this.#changedFile.load();
    else if (this.#processes.all().length === 0) this.#processes.launch();
    this.#afterChange();
  }

  /** Ends every agent process at once. */
  stop(): void {
    this.#isClosing = true;
    this.#spawner.stop();
    for (const slot of this.#processes.slots()) slot.leaveLimiter();
    this.#processes.stop();
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
    const perProcess = this.#file.isProcessIsolated ? 1 : this.#target.perProcess;
    const slot = this.#spawner.start({ perProcess, over, besideCalls: !this.#file.warmingBlocks });
    this.#deps.onChange();
    return slot;
  }

  #onMessage(process: AgentProcess, message: Exclude<ProcessToHost, { type: "pong" }>): void {
    const { log, onLoaded, onUseless, start } = this.#deps;
    switch (message.type) {
      case "loaded":
        this.#spawner.processLoaded(process);
        if (!this.#changedFile.isOutdated(process)) {
          this.#file.loaded(message);
          if (this.#changedFile.loaded(process, message)) {
            this.#spawner.startOver();
            this.#standby.isUseful = true;
          }
          onLoaded(message.pool, message.version);
        }
        this.#afterChange();
        return;
      case "no_agent":
      case "disabled":
        if (this.#file.disable(message.reason)) onUseless(message.type, message.reason);
        this.#processes.kill(process, message.reason);
        return;
      case "load_failed":
        this.#processes.kill(process, message.error);
        return;
      case "unhealthy":
        log.error({ agentPid: process.link.pid, error: message.error }, "replacing an unhealthy process");
        this.#replace(process);
        return;
      case "unhandled_rejection":
        this.#deps.onUnhandledRejection();
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
        this.#failStart(slot, message.error, message.retryable);
        return;
      case "hot":
        this.#standby.succeeded(slot);
        return;
      case "standby_failed":
        this.#standby.failed(slot, message.error);
        return;
      case "ready":
        this.#file.problem = undefined;
        this.#deps.onAgentEvent(slot, message);
        return;
      case "reconnected":
        this.#standby.stop(slot.process.profile);
        return;
      case "declined":
      case "ended":
        // A declined session has not joined the standby room, which is deleted with the slot.
        if (message.type === "declined") slot.hasStandby = slot.assignment?.job?.room === undefined;
        if (message.type === "ended" && message.error?.retryable === false)
          this.#file.problem = message.error.message;
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
    this.#file.warmed(slot.process);
    if (slot.state !== "warming") return;
    slot.state = slot.assignment === undefined ? "warm" : "busy";
    if (slot.assignment?.job !== undefined) this.run(slot, slot.assignment.job);
    this.#afterChange();
  }

  #failStart(slot: Slot, error: string, retryable = true): void {
    this.#onStartFailed([slot], error, retryable);
    // Without other agents the process goes too, and the next one loads the file again.
    if (slot.process.slots.size === 1) slot.process.isUnhealthy = true;
    this.#forget(slot);
  }

  #onStartFailed(slots: Slot[], error: string, retryable = true): void {
    for (const slot of slots) {
      if (slot.assignment === undefined || slot.assignment.isReleased) continue;
      this.#deps.onAgentEvent(slot, startFailed(error, retryable));
    }
    this.#spawner.failed(error);
  }

  #onRetry(): void {
    if (this.#isClosing) return;
    if (this.#file.known === undefined) this.#processes.launch();
    else if (this.#processes.all().length > 0) this.refill();
    else this.#startSlot(1);
  }

  #onGone(process: AgentProcess, reason: string): void {
    if (this.#changedFile.failed(process, reason)) return;
    const slots = [...process.slots.values()];
    for (const slot of slots) slot.leaveLimiter();
    if (this.#isClosing || this.#file.disabledReason !== undefined) {
      for (const slot of slots) this.#lose(slot, reason);
      this.#deps.onChange();
      return;
    }
    const isOver = this.#file.isProcessIsolated && slots.every(({ state }) => state === "closing");
    const what = { profile: process.profile, agentPid: process.link.pid, reason };
    if (isOver) this.#deps.log.debug(what, "an agent process ended after its session");
    else this.#deps.log.warn(what, "lost an agent process");
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
    // A process that has served a session is never given another one.
    if (this.#file.isProcessIsolated && slot.process.served > 0) slot.process.isUnhealthy = true;
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
    const isSpare = this.#file.isProcessIsolated && !this.#isClosing;
    if (!others && isSpare && this.#file.isUsable) this.#processes.launch();
    this.#deps.onChange();
  }
}
