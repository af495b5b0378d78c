// The stages of one profile: started, watched for hanging and growing, and ended.
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { FromStage, StageStart } from "./messages.ts";
import type { Slot, Stage } from "./slots.ts";
import { type LaunchStage, StagePulse } from "./supervised-process.ts";

export interface StageSetDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly start: StageStart;
  readonly launch: LaunchStage;
  readonly pingMs: number;
  readonly memoryLimitMb: number;
  readonly newId: () => string;
}

export interface StageSetListener {
  onMessage(stage: Stage, message: Exclude<FromStage, { type: "pong" }>): void;
  /** It died or was killed; it is no longer in the set. Not called for one that was retired. */
  onGone(stage: Stage, why: string): void;
  /** It should be replaced before it is so large that it has to be killed. */
  onGrown(stage: Stage): void;
}

/** Of the limit; past it a stage is replaced, and what runs in it may finish. */
const GROWN = 0.6;
/** One that was large from the start would be no smaller in another process. */
const SERVED_TO_GROW = 20;

export class StageSet {
  readonly #deps: StageSetDeps;
  readonly #listener: StageSetListener;
  readonly #stages = new Map<string, Stage>();

  constructor(deps: StageSetDeps, listener: StageSetListener) {
    this.#deps = deps;
    this.#listener = listener;
  }

  all(): Stage[] {
    return [...this.#stages.values()];
  }

  slots(): Slot[] {
    return this.all().flatMap((stage) => [...stage.slots.values()]);
  }

  launch(): Stage {
    const { clock, launch, log, newId, pingMs, start } = this.#deps;
    const stage: Stage = {
      id: newId(),
      slots: new Map(),
      pulse: new StagePulse(clock, pingMs),
      link: { pid: undefined, send: () => {}, kill: () => {} },
      isLoaded: false,
      isTainted: false,
      memoryMb: undefined,
      served: 0,
    };
    this.#stages.set(stage.id, stage);
    stage.link = launch(start, {
      onMessage: (message) => {
        stage.pulse.answered();
        if (message.type === "pong") this.#onPong(stage, message.memoryMb);
        else if (this.#stages.has(stage.id)) this.#listener.onMessage(stage, message);
      },
      onExit: (why) => this.#onGone(stage, why),
    });
    stage.pulse.start({
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
  kill(stage: Stage, why: string): void {
    stage.link.kill();
    this.#onGone(stage, why);
  }

  /** Ends a stage that nothing runs in and that nobody misses. */
  retire(stage: Stage): void {
    this.#stages.delete(stage.id);
    stage.pulse.stop();
    stage.link.kill();
  }

  #onPong(stage: Stage, memoryMb: number): void {
    const { log, memoryLimitMb } = this.#deps;
    stage.memoryMb = memoryMb;
    if (memoryMb <= memoryLimitMb) {
      const hasGrown = memoryMb > GROWN * memoryLimitMb && stage.served >= SERVED_TO_GROW;
      if (!hasGrown || stage.isTainted) return;
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

  #onGone(stage: Stage, why: string): void {
    stage.pulse.stop();
    if (this.#stages.delete(stage.id)) this.#listener.onGone(stage, why);
  }
}
