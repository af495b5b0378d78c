// Starts agents: in a stage with room or a new one, in their turn, and not again and again what keeps failing.
import { median } from "../../../libs/domain/capacity.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { withResolvers } from "../../../libs/runtime/with-resolvers.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import { pickProcess, type Spread } from "./pick-slots.ts";
import type { ProcessPool } from "./process-pool.ts";
import type { AgentProcess, Slot } from "./slots.ts";
import type { SpawnLimiter } from "./spawn-limiter.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly profile: string;
  readonly limiter: SpawnLimiter;
  readonly stages: ProcessPool;
  readonly newId: () => string;
  /** The pause after a failure is over. */
  readonly onRetry: () => void;
}

const WARM_UPS_KEPT = 20;

export class Spawner {
  readonly #deps: Deps;
  readonly #breaker = new CircuitBreaker();
  readonly #warmUpsMs: number[] = [];
  #cancelRetry: (() => void) | undefined;
  /** Agents that were begun, ever. */
  started = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The error for which nothing is started for a while. */
  get openFor(): string | undefined {
    return this.#breaker.openFor;
  }

  get lastError(): string | undefined {
    return this.#breaker.lastError;
  }

  /** Median time from begun to warm, in ms. */
  get warmUpMs(): number | undefined {
    return median(this.#warmUpsMs);
  }

  /** How many of those missing may be started now: none in a pause, and one to see whether it works again. */
  mayStart(missing: number): number {
    if (this.#cancelRetry !== undefined) return 0;
    return this.#breaker.lastError === undefined ? missing : Math.min(1, missing);
  }

  /** Begins a new agent. It is told to its stage when its turn has come and the stage has loaded its file. */
  start(spread: Spread): Slot {
    const { clock, limiter, newId, stages } = this.#deps;
    const stage = pickProcess(stages.all(), spread) ?? stages.launch();
    const slot: Slot = {
      id: newId(),
      process: stage,
      startedAtMs: clock.monotonic(),
      state: "warming",
      isAdmitted: false,
      isConnectingStandby: false,
      hasStandby: false,
      assignment: undefined,
      left: withResolvers(),
      leaveLimiter: () => {},
    };
    stage.slots.set(slot.id, slot);
    this.started += 1;
    slot.leaveLimiter = limiter.pass(() => {
      slot.isAdmitted = true;
      if (stage.isLoaded) stage.link.send({ type: "warm", slot: slot.id });
    });
    return slot;
  }

  /** The stage has loaded its file: those whose turn has come are told to it. */
  processLoaded(stage: AgentProcess): void {
    for (const slot of stage.slots.values()) {
      if (slot.isAdmitted) stage.link.send({ type: "warm", slot: slot.id });
    }
  }

  succeeded(slot: Slot): void {
    slot.leaveLimiter();
    this.#breaker.succeeded();
    this.#warmUpsMs.push(this.#deps.clock.monotonic() - slot.startedAtMs);
    if (this.#warmUpsMs.length > WARM_UPS_KEPT) this.#warmUpsMs.shift();
  }

  /** Counts a failure and plans the next try. Several that were begun together and failed are one try. */
  failed(error: string): void {
    const { clock, log, profile, onRetry } = this.#deps;
    if (this.#cancelRetry !== undefined) return;
    const pauseMs = this.#breaker.failed(error);
    log.error({ profile, error, pauseMs }, "starting an agent failed");
    this.#cancelRetry = clock.after(pauseMs, () => {
      this.#cancelRetry = undefined;
      onRetry();
    });
  }

  stop(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }
}
