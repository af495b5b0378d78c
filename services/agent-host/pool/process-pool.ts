// The agent processes of one profile: started, watched for hanging and growing, and ended.
import { messageOf } from "../../../libs/contracts/errors.ts";
import { median } from "../../../libs/domain/capacity.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { BLOCKING_MS } from "./agent-file.ts";
import type { ProcessStart, ProcessToHost, Sources } from "./messages.ts";
import type { AgentProcess, IdleTime, Slot } from "./slots.ts";
import type { SpawnLimiter } from "./spawn-limiter.ts";
import { type LaunchProcess, ProcessLiveness } from "./supervised-process.ts";

export interface ProcessPoolDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly start: ProcessStart;
  readonly launch: LaunchProcess;
  readonly pingMs: number;
  /** The longest silence of a process that computes. */
  readonly timeoutMs: number;
  readonly memoryLimitMb: number;
  readonly maxSessionsPerProcess: number;
  /** Limits how many processes of the host load their files at the same time. */
  readonly loadLimiter: SpawnLimiter;
  readonly newId: () => string;
}

type Pong = Extract<ProcessToHost, { type: "pong" }>;

export interface ProcessHandlers {
  onMessage(process: AgentProcess, message: Exclude<ProcessToHost, Pong>): void;
  /** The process died or was killed, and has left the pool. Not called for a retired process. */
  onGone(process: AgentProcess, reason: string): void;
  /** The process should be replaced once its sessions are over. `fault`: what its file does wrong. */
  onWorn(process: AgentProcess, fault?: string): void;
}

/** A file that waits for something, such as a server, lets the next process load its file after this time. */
const LOAD_TURN_MS = 5000;
/** A file that computes keeps its turn for longer, because many files load faster one after another than together. */
const MOST_LOAD_TURNS = 6;
/** The share of a turn for which the threads of a file that computes run, or would like to. */
const LOADING_SHARE = 0.3;
/** The share of the memory limit past which a process is replaced once its sessions are over. */
const GROWN = 0.6;
/** A process that was large from the start would be no smaller if it were replaced. */
const SERVED_TO_GROW = 20;

/** A process without sessions is busy if its main thread runs for this share of the time in which it gets a CPU. */
const IDLE_MS = 10_000;
const BUSY_SHARE = 0.5;
/** A single pause is no lag. */
const LAGS_MIN = 3;

const isResting = ({ assignment, state }: Slot): boolean =>
  assignment === undefined && state !== "warming" && state !== "closing";

/** For how long the threads of a process have run, or have waited for a CPU; 0 where that is unknown. */
function wantedMs({ link }: AgentProcess): number {
  const times = link.threadTimes?.();
  return times === undefined ? 0 : times.ranMs + times.waitedMs;
}

/** The code that a process has loaded. */
export interface LoadedCode {
  readonly sources: Sources;
  readonly version: string | undefined;
}

/** Owns the agent processes of its profile. A process goes when it ends, is killed or is retired. */
export class ProcessPool {
  readonly #deps: ProcessPoolDeps;
  readonly #handlers: ProcessHandlers;
  readonly #processes = new Map<string, AgentProcess>();
  /** The retired processes that have not ended yet. */
  readonly #exiting = new Set<AgentProcess>();
  /** The code that new processes load instead of what the files contain now. */
  oldCode: LoadedCode | undefined;

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

  /** @param loadsOldCode false for a process that tries the files as they are now */
  launch({ loadsOldCode = true } = {}): AgentProcess {
    const { clock, loadLimiter, newId, pingMs, start, timeoutMs } = this.#deps;
    const process: AgentProcess = {
      id: newId(),
      profile: start.profile,
      slots: new Map(),
      launchedAtMs: clock.monotonic(),
      liveness: new ProcessLiveness(clock, { pingMs, timeoutMs }),
      link: { pid: undefined, send: () => {}, kill: () => {} },
      isLoaded: false,
      version: undefined,
      isUnhealthy: false,
      memoryMb: undefined,
      ranMsAtLoad: undefined,
      warmed: 0,
      idle: undefined,
      served: 0,
      leaveLoading: () => {},
    };
    this.#processes.set(process.id, process);
    let cancelTurn = () => {};
    const takeTurn = (turn: number): void => {
      const before = wantedMs(process);
      cancelTurn = clock.after(LOAD_TURN_MS, () => {
        const computes = wantedMs(process) - before >= LOADING_SHARE * LOAD_TURN_MS;
        if (computes && turn < MOST_LOAD_TURNS) takeTurn(turn + 1);
        else leave();
      });
    };
    const leave = loadLimiter.pass(() => {
      takeTurn(1);
      if (this.#processes.has(process.id)) this.#tryToBoot(process, loadsOldCode);
    });
    process.leaveLoading = () => {
      cancelTurn();
      leave();
    };
    return process;
  }

  /** The file or its folder may be gone. */
  #tryToBoot(process: AgentProcess, loadsOldCode: boolean): void {
    try {
      this.#boot(process, loadsOldCode ? this.oldCode : undefined);
    } catch (error) {
      this.#deps.clock.after(0, () => this.#onGone(process, messageOf(error)));
    }
  }

  #boot(process: AgentProcess, oldCode: LoadedCode | undefined): void {
    const { launch, log } = this.#deps;
    process.link = launch(this.#startWith(oldCode), {
      onMessage: (message) => {
        process.liveness.answered();
        if (message.type === "pong") this.#onPong(process, message);
        else if (this.#processes.has(process.id)) {
          if (message.type === "loaded") this.#onLoaded(process, message.version);
          this.#handlers.onMessage(process, message);
        }
      },
      onExit: (reason) => {
        this.#exiting.delete(process);
        this.#onGone(process, reason);
      },
    });
    if (oldCode !== undefined) process.link.send({ type: "sources", sources: oldCode.sources });
    process.liveness.start({
      send: () => process.link.send({ type: "ping" }),
      // Loading a file or a model may block the process for long.
      isLoading: () =>
        !process.isLoaded || [...process.slots.values()].some((slot) => slot.state === "warming"),
      isStopped: process.link.isStopped,
      cpuTimes: process.link.cpuTimes,
      onSilent: (silentMs) => {
        log.error({ agentPid: process.link.pid, silentMs }, "killing an agent process that hangs");
        this.kill(process, `the agent process hung: no answer for ${silentMs} ms`);
      },
    });
  }

  /** The process keeps its version, while later ones may load changed code. */
  #onLoaded(process: AgentProcess, version: string | undefined): void {
    process.isLoaded = true;
    process.leaveLoading();
    process.version = version;
    process.ranMsAtLoad = process.link.cpuTimes?.()?.ranMs;
  }

  #startWith(oldCode: LoadedCode | undefined): ProcessStart {
    const { start } = this.#deps;
    if (oldCode === undefined) return start;
    const { version } = oldCode;
    return { ...start, loadsOldCode: true, ...(version === undefined ? {} : { version }) };
  }

  /** Ends a process. Its sessions are lost at once, not when the operating system reports the exit. */
  kill(process: AgentProcess, reason: string): void {
    process.link.kill();
    this.#onGone(process, reason);
  }

  /** Ends a process without sessions. */
  retire(process: AgentProcess): void {
    this.#remove(process);
    // A process that loads its file hears nothing.
    if (!process.isLoaded || process.link.exit === undefined) {
      process.link.kill();
      return;
    }
    this.#exiting.add(process);
    process.link.exit();
  }

  /** Ends every process at once. */
  stop(): void {
    const all = this.all();
    for (const process of all) this.#remove(process);
    for (const process of [...all, ...this.#exiting]) process.link.kill();
  }

  #onPong(process: AgentProcess, { memoryMb, lagMs }: Pong): void {
    const { log, maxSessionsPerProcess, memoryLimitMb } = this.#deps;
    process.memoryMb = memoryMb;
    const fields = { agentPid: process.link.pid, memoryMb, memoryLimitMb, served: process.served };
    if (memoryMb <= memoryLimitMb) {
      const fault = process.isUnhealthy ? undefined : this.#faultAfterSessions(process, lagMs);
      if (fault !== undefined) {
        log.warn(fields, fault);
        this.#handlers.onWorn(process, fault);
        return;
      }
      const hasGrown = memoryMb > GROWN * memoryLimitMb && process.served >= SERVED_TO_GROW;
      const isWorn = process.served >= maxSessionsPerProcess;
      if ((!hasGrown && !isWorn) || process.isUnhealthy) return;
      const why = hasGrown ? "has grown" : "has served many sessions";
      log.warn(fields, `replacing an agent process that ${why} once its sessions are over`);
      this.#handlers.onWorn(process);
      return;
    }
    log.error(fields, "killing an agent process past its memory limit");
    this.kill(process, `the agent process grew to ${memoryMb} MB, past its limit of ${memoryLimitMb} MB`);
  }

  /** Names what the sessions of the process have left running, such as a timer that computes or blocks. */
  #faultAfterSessions(process: AgentProcess, lagMs: number): string | undefined {
    const cpu = process.link.cpuTimes?.();
    const isIdle = process.served > 0 && [...process.slots.values()].every(isResting);
    if (cpu === undefined || !isIdle) {
      process.idle = undefined;
      return undefined;
    }
    const atMs = this.#deps.clock.monotonic();
    const begin: IdleTime = { atMs, before: cpu, lastWaitedMs: cpu.waitedMs, ownLagsMs: [] };
    const idle = process.idle;
    if (idle === undefined) {
      process.idle = begin;
      return undefined;
    }
    // A lag for which the process waited for a CPU is the machine's.
    idle.ownLagsMs.push(lagMs - (cpu.waitedMs - idle.lastWaitedMs));
    idle.lastWaitedMs = cpu.waitedMs;
    const idleMs = atMs - idle.atMs;
    if (idleMs < IDLE_MS || idle.ownLagsMs.length < LAGS_MIN) return undefined;
    process.idle = begin;
    const waitedMs = cpu.waitedMs - idle.before.waitedMs;
    if (cpu.ranMs - idle.before.ranMs >= BUSY_SHARE * (idleMs - waitedMs))
      return "an agent process stayed busy after its sessions, so it was replaced";
    const typicalLagMs = median(idle.ownLagsMs) ?? 0;
    return typicalLagMs >= BLOCKING_MS
      ? `an agent process lagged by ${Math.round(typicalLagMs)} ms after its sessions, so it was replaced`
      : undefined;
  }

  #onGone(process: AgentProcess, reason: string): void {
    if (this.#remove(process)) this.#handlers.onGone(process, reason);
  }

  #remove(process: AgentProcess): boolean {
    process.leaveLoading();
    process.liveness.stop();
    return this.#processes.delete(process.id);
  }
}
