// The agent processes of one profile: started, watched for hanging and growing, and ended.
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

export interface ProcessHandlers {
  onMessage(process: AgentProcess, message: Exclude<ProcessToHost, { type: "pong" }>): void;
  /** The process died or was killed, and has left the pool. Not called for a retired process. */
  onGone(process: AgentProcess, reason: string): void;
  /** The process has grown, and should be replaced before it has to be killed. */
  onGrown(process: AgentProcess): void;
}

/** The share of the memory limit past which a process is replaced once its sessions are over. */
const GROWN = 0.6;
/** A process that was large from the start would be no smaller if it were replaced. */
const SERVED_TO_GROW = 20;

/** Owns the agent processes of its profile. A process goes when it ends, is killed or is retired. */
export class ProcessPool {
  readonly #deps: ProcessPoolDeps;
  readonly #handlers: ProcessHandlers;
  readonly #processes = new Map<string, AgentProcess>();

  constructor(deps: ProcessPoolDeps, handlers: ProcessHandlers) {
    this.#deps = deps;
    this.#handlers = handlers;
  }

  all(): AgentProcess[] {
    return [...this.#processes.values()];
  }

  slots(): Slot[] {
    return this.all().flatMap((process) => [...process.slots.values()]);
  }

  launch(): AgentProcess {
    const { clock, launch, log, newId, pingMs, start } = this.#deps;
    const process: AgentProcess = {
      id: newId(),
      profile: start.profile,
      slots: new Map(),
      liveness: new ProcessLiveness(clock, pingMs),
      link: { pid: undefined, send: () => {}, kill: () => {} },
      isLoaded: false,
      isUnhealthy: false,
      memoryMb: undefined,
      served: 0,
    };
    this.#processes.set(process.id, process);
    process.link = launch(start, {
      onMessage: (message) => {
        process.liveness.answered();
        if (message.type === "pong") this.#onPong(process, message.memoryMb);
        else if (this.#processes.has(process.id)) this.#handlers.onMessage(process, message);
      },
      onExit: (reason) => this.#onGone(process, reason),
    });
    process.liveness.start({
      send: () => process.link.send({ type: "ping" }),
      // Loading a file or a model may block the process for long.
      isLoading: () =>
        !process.isLoaded || [...process.slots.values()].some((slot) => slot.state === "warming"),
      isStopped: process.link.isStopped,
      runDelayMs: process.link.runDelayMs,
      onSilent: (silentMs) => {
        log.error({ agentPid: process.link.pid, silentMs }, "killing an agent process that hangs");
        this.kill(process, `the agent process hung: no answer for ${silentMs} ms`);
      },
    });
    return process;
  }

  /** Ends a process. Its sessions are lost at once, not when the operating system reports the exit. */
  kill(process: AgentProcess, reason: string): void {
    process.link.kill();
    this.#onGone(process, reason);
  }

  /** Ends a process without sessions. */
  retire(process: AgentProcess): void {
    this.#processes.delete(process.id);
    process.liveness.stop();
    process.link.kill();
  }

  #onPong(process: AgentProcess, memoryMb: number): void {
    const { log, memoryLimitMb } = this.#deps;
    process.memoryMb = memoryMb;
    const fields = { agentPid: process.link.pid, memoryMb, memoryLimitMb, served: process.served };
    if (memoryMb <= memoryLimitMb) {
      const hasGrown = memoryMb > GROWN * memoryLimitMb && process.served >= SERVED_TO_GROW;
      if (!hasGrown || process.isUnhealthy) return;
      log.warn(fields, "replacing an agent process that has grown once its sessions are over");
      this.#handlers.onGrown(process);
      return;
    }
    log.error(fields, "killing an agent process past its memory limit");
    this.kill(process, `the agent process grew to ${memoryMb} MB, past its limit of ${memoryLimitMb} MB`);
  }

  #onGone(process: AgentProcess, reason: string): void {
    process.liveness.stop();
    if (this.#processes.delete(process.id)) this.#handlers.onGone(process, reason);
  }
}
