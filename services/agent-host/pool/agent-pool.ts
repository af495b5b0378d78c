// The agents of one profile on one host: started ahead of time, given out once, and replaced.
import type { AgentProcessStatus, HostProfile, ProfileStatus } from "../../../libs/contracts/fleet/host.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import { type AgentEvents, forwardAgentEvent } from "./agent-events.ts";
import { processStatus, profileStatus } from "./host-status.ts";
import type { JobRequest, ProcessToHost } from "./messages.ts";
import { isIdle, pickAgent, pickSurplus } from "./pick-slots.ts";
import { ProcessPool, type ProcessPoolDeps } from "./process-pool.ts";
import type { AgentProcess, Assignment, Slot } from "./slots.ts";
import type { SpawnLimiter } from "./spawn-limiter.ts";
import { Spawner } from "./spawner.ts";
import { Standby, type StandbyRoomSource } from "./standby.ts";

export interface PoolDeps extends ProcessPoolDeps {
  readonly limiter: SpawnLimiter;
  readonly standby: StandbyRoomSource | undefined;
  readonly listener: AgentEvents;
  /** Stages that the idle agents are spread over, as far as there are agents enough. */
  readonly spreadOver: number;
}

type SlotMessage = Extract<ProcessToHost, { slot: string }>;

export class AgentPool {
  readonly #deps: PoolDeps;
  readonly #stages: ProcessPool;
  readonly #heater: Standby;
  readonly #starter: Spawner;
  #target: PoolSettings = { min: 0, hot: 0, max: 0, perProcess: 1 };
  #isLoaded = false;
  #disabledFor: string | undefined;
  #isClosing = false;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#stages = new ProcessPool(deps, {
      onMessage: (stage, message) => this.#onMessage(stage, message),
      onGone: (stage, reason) => this.#onGone(stage, reason),
      onGrown: (stage) => this.#taint(stage),
    });
    this.#starter = new Spawner({
      ...deps,
      profile: deps.start.profile,
      stages: this.#stages,
      onRetry: () => this.#onRetry(),
    });
    this.#heater = new Standby({ ...deps, onChange: () => this.#afterChange() });
  }

  /** Starts a first stage, which tells whether the file can be used and what pool it asks for. */
  probe(): void {
    this.#stages.launch();
  }

  get target(): PoolSettings {
    return this.#target;
  }

  setTarget(target: PoolSettings): void {
    this.#target = target;
    this.refill();
  }

  get status(): ProfileStatus {
    if (this.#disabledFor !== undefined) return "disabled";
    if (this.#starter.openFor !== undefined) return "failed";
    return this.#isLoaded && !this.#isClosing ? "running" : "stopped";
  }

  profile(): HostProfile {
    const error = this.#disabledFor ?? this.#starter.lastError;
    return profileStatus(this.#stages.slots(), this.status, error, this.#target.max, this.#starter.warmUpMs);
  }

  /** Agents that were begun, ever. */
  get spawned(): number {
    return this.#starter.started;
  }

  processes(): AgentProcessStatus[] {
    const now = this.#deps.clock.monotonic();
    return this.#stages.all().map((stage) => processStatus(stage, this.#deps.start.profile, now));
  }

  slot(slotId: string | undefined): Slot | undefined {
    return this.#stages.slots().find((slot) => slot.id === slotId);
  }

  busySlots(): Slot[] {
    return this.#stages.slots().filter((slot) => slot.assignment !== undefined);
  }

  /**
   * Takes an agent for a session, or undefined when there is none of that kind.
   *
   * Asked for a hot one it gives nothing else, since the room depends on it. Asked for a warm one it may give
   * a hot one, which then leaves its standby room. A cold one is started for the purpose.
   */
  take(asked: Warmth, assignment: Omit<Assignment, "warmth">): Slot | undefined {
    const slots = this.#stages.slots();
    if (asked === "hot") return this.#give(pickAgent(slots, "hot"), assignment, "hot");
    const warm = pickAgent(slots, "warm");
    if (warm !== undefined) return this.#give(warm, assignment, "warm");
    if (this.status !== "running" || slots.length >= this.#target.max) return undefined;
    return this.#give(pickAgent(slots, "cold") ?? this.#startSlot(1), assignment, "cold");
  }

  /** Nothing was started for the session after all: the agent is idle again. */
  giveBack(slot: Slot): void {
    slot.assignment = undefined;
    if (slot.state === "busy") slot.state = slot.hasStandby && !slot.isConnectingStandby ? "hot" : "warm";
    this.#changed();
  }

  run(slot: Slot, job: JobRequest): void {
    const { assignment } = slot;
    if (assignment === undefined) return;
    assignment.job = job;
    if (slot.state === "warming") return; // It runs as soon as it is warm.
    slot.state = "busy";
    slot.process.served += 1;
    slot.process.link.send({ type: "run", slot: slot.id, job });
    this.#heater.handOver(slot, job.room === undefined);
  }

  release(slot: Slot, reason: string): void {
    if (slot.assignment !== undefined) {
      slot.assignment.isReleased = true;
      slot.assignment.over ??= { how: "released", reason, atMs: this.#deps.clock.monotonic() };
    }
    if (slot.state === "closing") return;
    if (slot.state === "warming") {
      this.#forget(slot); // It never came so far as to have anything to close.
    } else {
      slot.state = "closing";
    }
    slot.process.link.send({ type: "release", slot: slot.id, reason });
    this.#changed();
  }

  /** Says that a session's agent is lost while it still runs: the host can't wait for it any longer. */
  giveUp(slot: Slot, reason: string): void {
    if (slot.assignment?.isReleased === false) this.#deps.listener.onLost(slot, reason);
  }

  /** Brings the number of idle agents to the target: starts, heats, or lets go. */
  refill(): void {
    if (this.#isClosing || !this.#isLoaded || this.#disabledFor !== undefined) return;
    const idle = this.#stages.slots().filter(isIdle);
    const missing = Math.min(this.#target.min - idle.length, this.#target.max - this.#stages.slots().length);
    const spreadOver = Math.min(this.#target.min, this.#deps.spreadOver);
    for (let i = this.#starter.mayStart(missing); i > 0; i--) this.#startSlot(spreadOver);
    const surplus = pickSurplus(idle, idle.length - this.#target.min);
    for (const slot of surplus) this.release(slot, "the pool is smaller now");
    const hot = idle.filter((slot) => slot.state === "hot");
    for (const slot of hot.slice(this.#target.hot)) this.release(slot, "fewer hot agents are wanted");
    this.#heater.connectStandby(this.#stages.slots(), this.#target.hot);
  }

  /** Lets idle agents go and takes in no more; busy ones go on. */
  drain(): void {
    this.#isClosing = true;
    this.#starter.stop();
    for (const slot of this.#stages.slots().filter(isIdle)) this.release(slot, "the host is draining");
    this.#changed();
  }

  /** Fills up again, after a drain that was undone. */
  resume(): void {
    this.#isClosing = false;
    if (this.#stages.all().length === 0) this.#stages.launch();
    this.refill();
    this.#changed();
  }

  /** Ends every stage at once. */
  stop(): void {
    this.#isClosing = true;
    this.#starter.stop();
    for (const stage of this.#stages.all()) this.#stages.retire(stage);
  }

  #changed(): void {
    this.#deps.listener.onChange();
  }

  #afterChange(): void {
    this.#changed();
    this.refill();
  }

  #give(slot: Slot | undefined, assignment: Omit<Assignment, "warmth">, warmth: Warmth): Slot | undefined {
    if (slot === undefined) return undefined;
    slot.assignment = { ...assignment, warmth };
    if (slot.state !== "warming") slot.state = "busy";
    this.#changed();
    this.refill();
    return slot;
  }

  #startSlot(over: number): Slot {
    const slot = this.#starter.start({ perProcess: this.#target.perProcess, over });
    this.#changed();
    return slot;
  }

  #onMessage(stage: AgentProcess, message: Exclude<ProcessToHost, { type: "pong" }>): void {
    const { listener, log } = this.#deps;
    switch (message.type) {
      case "loaded":
        stage.isLoaded = true;
        this.#isLoaded = true;
        this.#starter.processLoaded(stage);
        listener.onLoaded(message.pool);
        this.refill();
        this.#changed();
        return;
      case "disabled":
        this.#disabledFor = message.reason;
        log.warn({ profile: this.#deps.start.profile, reason: message.reason }, "a profile is disabled");
        this.#stages.kill(stage, message.reason);
        return;
      case "load_failed":
        this.#stages.kill(stage, message.error);
        return;
      case "unhealthy":
        log.error(
          { stagePid: stage.link.pid, error: message.error },
          "a stage is finished with and replaced",
        );
        this.#taint(stage);
        return;
      case "log":
        listener.onLog(message);
        return;
      default: {
        const slot = stage.slots.get(message.slot);
        if (slot !== undefined) this.#onSlotMessage(slot, message);
      }
    }
  }

  #onSlotMessage(slot: Slot, message: SlotMessage): void {
    const { listener, clock } = this.#deps;
    switch (message.type) {
      case "warm":
        this.#onWarm(slot);
        return;
      case "warm_failed":
        this.#onStartFailed([slot], message.error);
        this.#forget(slot);
        return;
      case "hot":
        this.#heater.succeeded(slot);
        return;
      case "standby_failed":
        this.#heater.failed(slot, message.error);
        return;
      case "ended":
        slot.state = "closing";
        if (slot.assignment?.isReleased === false) listener.onEnded(slot, message);
        this.#changed();
        return;
      case "left":
        slot.left.resolve();
        return;
      case "closed":
        this.#forget(slot);
        return;
      default:
        forwardAgentEvent(listener, slot, message, clock.monotonic());
    }
  }

  #onWarm(slot: Slot): void {
    this.#starter.succeeded(slot);
    if (slot.state !== "warming") return;
    slot.state = slot.assignment === undefined ? "warm" : "busy";
    if (slot.assignment?.job !== undefined) this.run(slot, slot.assignment.job);
    this.#changed();
    this.refill();
  }

  #onStartFailed(slots: Slot[], error: string): void {
    for (const slot of slots) {
      if (slot.assignment === undefined || slot.assignment.isReleased) continue;
      this.#deps.listener.onEnded(slot, {
        reason: "the agent could not be started",
        error: { message: `The agent could not be started: ${error}`, retryable: true },
        lost: false,
      });
    }
    this.#starter.failed(error);
  }

  #onRetry(): void {
    if (this.#isClosing) return;
    if (!this.#isLoaded) this.#stages.launch();
    else if (this.#stages.all().length > 0) this.refill();
    else this.#startSlot(1);
  }

  #onGone(stage: AgentProcess, reason: string): void {
    const slots = [...stage.slots.values()];
    for (const slot of slots) slot.leaveLimiter();
    if (this.#isClosing || this.#disabledFor !== undefined) {
      for (const slot of slots) this.#lose(slot, reason);
      this.#changed();
      return;
    }
    this.#deps.log.warn(
      { profile: this.#deps.start.profile, stagePid: stage.link.pid, reason },
      "a stage is gone",
    );
    // A stage that dies before any of its agents was warm would most likely die again at once.
    const hadNone = slots.every((slot) => slot.state === "warming");
    if (!stage.isLoaded || (hadNone && slots.length > 0)) this.#onStartFailed(slots, reason);
    else for (const slot of slots) this.#lose(slot, reason);
    this.#changed();
    this.refill();
  }

  #lose(slot: Slot, reason: string): void {
    slot.left.resolve();
    this.#heater.discard(slot);
    if (slot.assignment?.isReleased === false) this.#deps.listener.onLost(slot, reason);
    else this.#deps.listener.onClosed(slot);
  }

  #taint(stage: AgentProcess): void {
    stage.isUnhealthy = true;
    for (const slot of stage.slots.values()) {
      if (slot.assignment === undefined) this.release(slot, "the stage is being replaced");
    }
    this.#retireIfEmpty(stage);
    this.refill();
  }

  #forget(slot: Slot): void {
    slot.left.resolve();
    slot.leaveLimiter();
    this.#heater.discard(slot);
    slot.process.slots.delete(slot.id);
    this.#deps.listener.onClosed(slot);
    this.#changed();
    this.refill();
    this.#retireIfEmpty(slot.process);
  }

  /** One loaded stage stays also without agents, so that a cold start needs no new process. */
  #retireIfEmpty(stage: AgentProcess): void {
    if (stage.slots.size > 0) return;
    const others = this.#stages.all().some((other) => other !== stage && !other.isUnhealthy);
    if (!stage.isUnhealthy && !others) return;
    this.#stages.retire(stage);
    this.#changed();
  }
}
