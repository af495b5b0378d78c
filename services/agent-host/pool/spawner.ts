// Starts agents: in a process with a free place or in a new one, a few at a time, with pauses after failures.
import { median } from "../../../libs/domain/capacity.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { withResolvers } from "../../../libs/runtime/with-resolvers.ts";
import type { AgentEvent } from "./messages.ts";
import { pickAgent, pickProcess, type Spread } from "./pick-slots.ts";
import type { ProcessPool } from "./process-pool.ts";
import type { AgentProcess, Slot } from "./slots.ts";
import type { SpawnLimiter } from "./spawn-limiter.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly profile: string;
  readonly limiter: SpawnLimiter;
  readonly processes: ProcessPool;
  readonly newId: () => string;
  readonly prewarmTimeoutMs: number;
  /** Called when an agent is not warm after that time. */
  readonly onPrewarmTimeout: (slot: Slot, error: string) => void;
  /** Called when the pause after a failure is over. */
  readonly onRetry: () => void;
  /** Called when agents that were put off may start. */
  readonly refill: () => void;
}

/** The number of starts that the median is taken of. */
const WARM_UPS_KEPT = 20;
/** About as long as a start of a session takes on a busy machine. */
const PUT_OFF_MS = 1000;
/** How often to look whether a silent process answers again. */
const RECHECK_MS = 1000;

export class Spawner {
  readonly #deps: Deps;
  readonly #circuitBreaker = new CircuitBreaker();
  readonly #warmUpsMs: number[] = [];
  #cancelRetry: (() => void) | undefined;
  #isPuttingOff = false;
  /** The number of agents started so far. */
  started = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The error for which the circuit breaker is open. */
  get openFor(): string | undefined {
    return this.#circuitBreaker.openFor;
  }

  get lastError(): string | undefined {
    return this.#circuitBreaker.lastError;
  }

  /** The median time from the start of an agent until it is warm, in ms. */
  get warmUpMs(): number | undefined {
    return median(this.#warmUpsMs);
  }

  /** How many of the missing agents may start now: none in a pause, and one after a failure. */
  mayStart(missing: number): number {
    if (this.#cancelRetry !== undefined) return 0;
    return this.#circuitBreaker.lastError === undefined ? missing : Math.min(1, missing);
  }

  /**
   * The number of missing agents whose processes start a moment later, so that they take no CPU time from the sessions
   * that have just begun. Without an idle agent none is put off, because the next session would wait for it.
   */
  putOff(): number {
    const { clock, processes, refill } = this.#deps;
    const slots = processes.slots();
    if (pickAgent(slots, "warm") === undefined) return 0;
    const begun = slots.flatMap(({ assignment }) =>
      assignment === undefined || assignment.warmth === "cold" ? [] : assignment.takenAtMs + PUT_OFF_MS,
    );
    const soon = begun.filter((at) => at > clock.monotonic());
    if (soon.length > 0 && !this.#isPuttingOff) {
      this.#isPuttingOff = true;
      clock.after(Math.min(...soon) - clock.monotonic(), () => {
        this.#isPuttingOff = false;
        refill();
      });
    }
    return soon.length;
  }

  /** Begins a new agent. It starts when the limiter admits it and its process has loaded the file. */
  start(spread: Spread): Slot {
    const { clock, limiter, newId, processes } = this.#deps;
    const process = pickProcess(processes.all(), spread) ?? processes.launch();
    const slot: Slot = {
      id: newId(),
      process,
      startedAtMs: clock.monotonic(),
      state: "warming",
      isAdmitted: false,
      isConnectingStandby: false,
      hasStandby: false,
      assignment: undefined,
      left: withResolvers(),
      cancelTimeout: () => {},
      leaveLimiter: () => {},
    };
    process.slots.set(slot.id, slot);
    this.started += 1;
    const leave = limiter.pass(() => {
      slot.isAdmitted = true;
      if (process.isLoaded) this.#prewarm(slot);
    });
    slot.leaveLimiter = () => {
      slot.cancelTimeout();
      leave();
    };
    return slot;
  }

  /** Starts the admitted agents of a process that has loaded its file. */
  processLoaded(process: AgentProcess): void {
    for (const slot of process.slots.values()) {
      if (slot.isAdmitted) this.#prewarm(slot);
    }
  }

  #prewarm(slot: Slot): void {
    const { clock, onPrewarmTimeout, prewarmTimeoutMs } = this.#deps;
    slot.process.link.send({ type: "warm", slot: slot.id });
    const giveUp = () => {
      // The process computes or gets no CPU time, and its liveness has limits for that.
      if (slot.process.liveness.isSilent) slot.cancelTimeout = clock.after(RECHECK_MS, giveUp);
      else onPrewarmTimeout(slot, `prewarm did not return within ${prewarmTimeoutMs} ms`);
    };
    slot.cancelTimeout = clock.after(prewarmTimeoutMs, giveUp);
  }

  succeeded(slot: Slot): void {
    slot.leaveLimiter();
    this.#circuitBreaker.succeeded();
    this.#warmUpsMs.push(this.#deps.clock.monotonic() - slot.startedAtMs);
    if (this.#warmUpsMs.length > WARM_UPS_KEPT) this.#warmUpsMs.shift();
  }

  /** Counts a failure and plans a retry. Agents that were started together and failed count as one failure. */
  failed(error: string): void {
    const { clock, log, profile, onRetry } = this.#deps;
    if (this.#cancelRetry !== undefined) return;
    const pauseMs = this.#circuitBreaker.failed(error);
    log.error({ profile, error, pauseMs, retrying: true }, "failed to start an agent");
    this.#cancelRetry = clock.after(pauseMs, () => {
      this.#cancelRetry = undefined;
      onRetry();
    });
  }

  /** Ends the pause after a failure, because the file has changed. @returns false if there is no pause */
  retryNow(): boolean {
    if (this.#cancelRetry === undefined) return false;
    this.stop();
    this.#deps.onRetry();
    return true;
  }

  /** Forgets the failures of a file that has changed. */
  startOver(): void {
    this.stop();
    this.#circuitBreaker.succeeded();
  }

  stop(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }
}

/** The end of a session whose agent could not be started. */
export const startFailed = (error: string, retryable: boolean): AgentEvent => ({
  type: "ended",
  reason: "the agent could not be started",
  error: { message: `The agent could not be started: ${error}`, retryable },
  lost: false,
});

const MAX_FAILURES = 3;
const FIRST_PAUSE_MS = 500;
/** After this pause one agent is started again, since the file may be fixed by then. */
const OPEN_MS = 30_000;

/** Stops starts that keep failing: the pauses between the first failures grow, and the last one is long. */
class CircuitBreaker {
  #failures = 0;
  #lastError: string | undefined;

  /** The error for which the circuit breaker is open; undefined while it is closed. */
  get openFor(): string | undefined {
    return this.#failures >= MAX_FAILURES ? this.#lastError : undefined;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#lastError = undefined;
  }

  /** @returns the pause before the next try, in ms. */
  failed(error: string): number {
    this.#failures += 1;
    this.#lastError = error;
    return this.#failures >= MAX_FAILURES ? OPEN_MS : FIRST_PAUSE_MS * 2 ** (this.#failures - 1);
  }
}
