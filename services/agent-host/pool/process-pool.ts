// The stages of one profile: started, watched for hanging and growing, and ended.
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { ProcessStart, ProcessToHost } from "./messages.ts";
import type { AgentProcess, Slot } from "./slots.ts";
import { type LaunchProcess, ProcessLiveness } from "./supervised-process.ts";

export interface ProcessPoolDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly start: ProcessStart;
  readonly launch: LaunchProcess;
  readonly pingMs: number;
  readonly memoryLimitMb: number;
  readonly newId: () => string;
}

export interface ProcessPoolListener {
  onMessage(stage: AgentProcess, message: Exclude<ProcessToHost, { type: "pong" }>): void;
  /** It died or was killed; it is no longer in the set. Not called for one that was retired. */
  onGone(stage: AgentProcess, reason: string): void;
  /** It should be replaced before it is so large that it has to be killed. */
  onGrown(stage: AgentProcess): void;
}

/** Of the limit; past it a stage is replaced, and what runs in it may finish. */
const GROWN = 0.6;
/** One that was large from the start would be no smaller in another process. */
const SERVED_TO_GROW = 20;

export class ProcessPool {
  readonly #deps: ProcessPoolDeps;
  readonly #listener: ProcessPoolListener;
  readonly #stages = new Map<string, AgentProcess>();

  constructor(deps: ProcessPoolDeps, listener: ProcessPoolListener) {
    this.#deps = deps;
    this.#listener = listener;
  }

  all(): AgentProcess[] {
    return [...this.#stages.values()];
  }

  slots(): Slot[] {
    return this.all().flatMap((stage) => [...stage.slots.values()]);
  }

  launch(): AgentProcess {
    const { clock, launch, log, newId, pingMs, start } = this.#deps;
    const stage: AgentProcess = {
      id: newId(),
      slots: new Map(),
      liveness: new ProcessLiveness(clock, pingMs),
      link: { pid: undefined, send: () => {}, kill: () => {} },
      isLoaded: false,
      isUnhealthy: false,
      memoryMb: undefined,
      served: 0,
    };
    this.#stages.set(stage.id, stage);
    stage.link = launch(start, {
      onMessage: (message) => {
        stage.liveness.answered();
        if (message.type === "pong") this.#onPong(stage, message.memoryMb);
        else if (this.#stages.has(stage.id)) this.#listener.onMessage(stage, message);
      },
      onExit: (reason) => this.#onGone(stage, reason),
    });
    stage.liveness.start({
      send: () => stage.link.send({ type: "ping" }),
      // Loading a file or a model may block for long.
      isLoading: () => !stage.isLoaded || [...stage.slots.values()].some((slot) => slot.state === "warming"),
      isStopped: stage.link.isStopped,
      runDelayMs: stage.link.runDelayMs,
      onSilent: (silentMs) => {
        log.error({ stagePid: stage.link.pid, silentMs }, "a stage hangs and is killed");
        this.kill(stage, `the stage hung: no answer for ${silentMs} ms`);
      },
    });
    return stage;
  }

  /** Ends a stage; what ran in it is lost at once, not when the system gets round to it. */
  kill(stage: AgentProcess, reason: string): void {
    stage.link.kill();
    this.#onGone(stage, reason);
  }

  /** Ends a stage that nothing runs in and that nobody misses. */
  retire(stage: AgentProcess): void {
    this.#stages.delete(stage.id);
    stage.liveness.stop();
    stage.link.kill();
  }

  #onPong(stage: AgentProcess, memoryMb: number): void {
    const { log, memoryLimitMb } = this.#deps;
    stage.memoryMb = memoryMb;
    if (memoryMb <= memoryLimitMb) {
      const hasGrown = memoryMb > GROWN * memoryLimitMb && stage.served >= SERVED_TO_GROW;
      if (!hasGrown || stage.isUnhealthy) return;
      log.warn(
        { stagePid: stage.link.pid, memoryMb, memoryLimitMb, served: stage.served },
        "a stage has grown and is replaced; what runs in it may finish",
      );
      this.#listener.onGrown(stage);
      return;
    }
    log.error({ stagePid: stage.link.pid, memoryMb, memoryLimitMb }, "a stage grew too large and is killed");
    this.kill(stage, `the stage grew to ${memoryMb} MB, past its limit of ${memoryLimitMb}`);
  }

  #onGone(stage: AgentProcess, reason: string): void {
    stage.liveness.stop();
    if (this.#stages.delete(stage.id)) this.#listener.onGone(stage, reason);
  }
}
