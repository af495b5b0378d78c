// A child process that is kept alive: after its death it is restarted, with growing delays.
import type { ChildProcess } from "node:child_process";
import type { ProcessName, ServiceName } from "../../libs/contracts/fleet/pool.ts";
import { type BackOff, restartDelay } from "../../libs/runtime/back-off.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { killGroup } from "./guard.ts";
import type { PidFiles } from "./pid-files.ts";

export type ChildName = ProcessName | "nats" | "livekit";

export interface ChildSpec {
  readonly name: ChildName;
  /** The services that run in the process, if its name is not the name of a service. */
  readonly services?: readonly ServiceName[];
  /** Distinguishes several processes with the same name, for example `gateway-2`. */
  readonly instance?: string;
  start(): ChildProcess;
  /** For programs that can't send a message when they are running. */
  readonly isReady?: () => Promise<boolean>;
  /** Maximum time for an orderly stop. */
  readonly stopMs: number;
  /** How long the child's own children may take to end after its death. 0: they are killed immediately. */
  readonly orphanMs?: number;
}

export interface ChildDeps {
  readonly log: Log;
  /** Logs a line of the child's output. Returns its text if it reports an error. */
  readonly logLine: (service: string, line: string, isError: boolean) => string | undefined;
  readonly pidFiles: PidFiles;
  readonly backOff: BackOff;
}

export interface ChildStatus {
  readonly status: "running" | "stopped" | "failed";
  readonly reason?: string;
}

/** The child's name in the log and on disk. */
export const titleOf = ({ name, instance }: ChildSpec): string => instance ?? name;

/** EX_CONFIG: invalid settings, so a restart would fail in the same way. */
const CONFIG_EXIT = 78;
const READY_EVERY_MS = 50;
/** A grandchild may hold pipes open, which must not delay a restart. */
const PIPES_MS = 1000;

export class Child {
  readonly spec: ChildSpec;
  readonly #deps: ChildDeps;
  #process: ChildProcess | undefined;
  #isWanted = false;
  #retry: NodeJS.Timeout | undefined;
  #quickDeaths = 0;
  #startedAt = 0;
  #lastError: string | undefined;
  #status: ChildStatus | undefined;
  #death: Promise<void> = Promise.resolve();
  /** Timers that kill what remains of the process groups of dead children. */
  readonly #remains = new Map<number, NodeJS.Timeout>();

  constructor(spec: ChildSpec, deps: ChildDeps) {
    this.spec = spec;
    this.#deps = deps;
  }

  /** Undefined until the child was running or died for the first time. */
  get status(): ChildStatus | undefined {
    return this.#status;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  start(): void {
    this.#isWanted = true;
    this.#launch();
  }

  /** Whether the child was asked to stop and has not ended yet. */
  get isStopping(): boolean {
    return !this.#isWanted && this.#process !== undefined;
  }

  /**
   * Sends SIGTERM, and SIGKILL to the child's whole process group after its `stopMs`, but at most `limitMs`. Prevents a
   * restart.
   */
  async stop(limitMs: number): Promise<void> {
    this.#isWanted = false;
    clearTimeout(this.#retry);
    this.#killRemains();
    const child = this.#process;
    if (child === undefined) return;
    const afterMs = Math.round(Math.min(this.spec.stopMs, limitMs));
    const late = setTimeout(() => {
      const { log } = this.#deps;
      const title = titleOf(this.spec);
      log.warn({ child: title, afterMs }, `killing ${title}`);
      killGroup(child.pid, "SIGKILL");
    }, afterMs);
    child.kill("SIGTERM");
    await this.#death;
    clearTimeout(late);
  }

  /** Kills the child and its process group. Prevents a restart. */
  kill(): void {
    this.#isWanted = false;
    clearTimeout(this.#retry);
    this.#killRemains();
    killGroup(this.#process?.pid, "SIGKILL");
  }

  #killRemainsLater(pid: number | undefined): void {
    if (pid === undefined) return;
    const { orphanMs = 0 } = this.spec;
    if (!this.#isWanted || orphanMs === 0) {
      killGroup(pid, "SIGKILL");
      return;
    }
    const timer = setTimeout(() => {
      this.#remains.delete(pid);
      killGroup(pid, "SIGKILL");
    }, orphanMs);
    this.#remains.set(pid, timer);
  }

  #killRemains(): void {
    for (const [pid, timer] of this.#remains) {
      clearTimeout(timer);
      killGroup(pid, "SIGKILL");
    }
    this.#remains.clear();
  }

  #launch(): void {
    this.#startedAt = performance.now();
    this.#lastError = undefined;
    const child = this.spec.start();
    this.#process = child;
    if (child.pid !== undefined) this.#deps.pidFiles.write(titleOf(this.spec), child.pid);
    this.#readLines(child.stdout, false);
    this.#readLines(child.stderr, true);
    child.on("message", (message) => {
      if ((message as { type?: unknown } | null)?.type === "running") this.#isRunning(child);
    });
    if (this.spec.isReady !== undefined) void this.#pollReady(child, this.spec.isReady);
    this.#death = new Promise((resolve) => {
      child.once("error", (error) => {
        this.#lastError = error.message;
        // A child that could not be started has no exit event.
        if (child.pid === undefined) this.#onDeath(child, null, null, resolve);
      });
      child.once("exit", (code, signal) => {
        this.#killRemainsLater(child.pid);
        const finish = () => {
          clearTimeout(late);
          child.off("close", finish);
          this.#onDeath(child, code, signal, resolve);
        };
        const late = setTimeout(finish, PIPES_MS);
        child.once("close", finish);
      });
    });
  }

  #isRunning(child: ChildProcess): void {
    if (this.#process !== child || this.#status?.status === "running") return;
    this.#status = { status: "running" };
    const title = titleOf(this.spec);
    this.#deps.log.debug({ child: title, childPid: child.pid }, `${title} is running`);
  }

  async #pollReady(child: ChildProcess, isReady: () => Promise<boolean>): Promise<void> {
    while (this.#process === child) {
      if (await isReady()) return this.#isRunning(child);
      await new Promise((resolve) => setTimeout(resolve, READY_EVERY_MS));
    }
  }

  #onDeath(child: ChildProcess, code: number | null, signal: string | null, resolve: () => void): void {
    if (this.#process !== child) return;
    this.#process = undefined;
    this.#deps.pidFiles.remove(titleOf(this.spec));
    if (this.#isWanted) this.#planRestart(describeEnd(code, signal, this.#lastError), code);
    else this.#status = { status: "stopped" };
    resolve();
  }

  #planRestart(reason: string, code: number | null): void {
    const { log, backOff } = this.#deps;
    const name = titleOf(this.spec);
    if (code === CONFIG_EXIT) {
      this.#status = { status: "failed", reason };
      log.error({ child: name }, `${name} has invalid settings and is not restarted: ${reason}`);
      return;
    }
    const upMs = Math.round(performance.now() - this.#startedAt);
    this.#quickDeaths = upMs < backOff.steadyMs ? this.#quickDeaths + 1 : 1;
    const { delayMs, hasFailed } = restartDelay(backOff, this.#quickDeaths);
    this.#status = { status: hasFailed ? "failed" : "stopped", reason };
    log.warn({ child: name, upMs, delayMs }, `${name} died: ${reason}; restarting in ${delayMs} ms`);
    this.#retry = setTimeout(() => this.#launch(), delayMs);
  }

  #readLines(stream: NodeJS.ReadableStream | null, isError: boolean): void {
    if (stream === null) return;
    let rest = "";
    const log = (line: string) => {
      if (line.trim() === "") return;
      this.#lastError = this.#deps.logLine(titleOf(this.spec), line, isError) ?? this.#lastError;
    };
    stream.setEncoding("utf8");
    stream.on("data", (part: string) => {
      const lines = (rest + part).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) log(line);
    });
    stream.on("end", () => log(rest));
  }
}

function describeEnd(code: number | null, signal: string | null, lastError: string | undefined): string {
  const end =
    signal !== null
      ? `ended by ${signal}`
      : code === null
        ? "failed to start"
        : `ended with exit code ${code}`;
  return lastError === undefined ? end : `${end} (${lastError})`;
}
