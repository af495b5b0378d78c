// The host's end of an agent process: the child process, its channel, and a check that it is alive.
import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import type { Clock } from "../../../libs/runtime/clock.ts";
import { compiledFile } from "../../../libs/runtime/compiled.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { HostToProcess, ProcessStart, ProcessToHost } from "./messages.ts";
import { isStopped, runDelayMs } from "./proc-stat.ts";

export interface ProcessLink {
  readonly pid: number | undefined;
  send(message: HostToProcess): void;
  /** Ends the process at once. `onExit` is called as for any other exit. */
  kill(): void;
  /** Whether the process is stopped by a signal. Absent where that is unknown. */
  isStopped?(): boolean;
  /** How long the process has waited for a CPU so far, in ms. Absent or undefined where that is unknown. */
  runDelayMs?(): number | undefined;
}

export interface ProcessListener {
  onMessage(message: ProcessToHost): void;
  onExit(reason: string): void;
}

/** Starts an agent process; simulations and tests have their own. */
export type LaunchProcess = (start: ProcessStart, listener: ProcessListener) => ProcessLink;

/** The native library logs an error of its data channels for every room that is left as usual. */
const RUST_LOG = "error,livekit::rtc_engine::rtc_session=off";
/** The last lines of standard error, for the reason of an exit. */
const LAST_LINES = 5;

const workerLoader = pathToFileURL(compiledFile("services/agent-host/agent-process/worker-loader.ts")).href;

/** Starts agent processes as child processes with this process's environment. */
export const launchAgentProcess =
  (log: Log): LaunchProcess =>
  (start, listener) => {
    const child = fork(compiledFile("services/agent-host/agent-process/main.ts"), {
      execArgv: ["--import", workerLoader],
      env: { RUST_LOG, ...process.env, PROCESS_START: JSON.stringify(start) },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "json",
    });
    const childLog = log.child({ profile: start.profile, agentPid: child.pid });
    let errors: string[] = [];
    if (child.stdout)
      createInterface({ input: child.stdout }).on("line", (line) => logNativeLine(childLog, line));
    if (child.stderr) {
      createInterface({ input: child.stderr }).on("line", (line) => {
        errors = [...errors.slice(1 - LAST_LINES), line];
        childLog.warn(line);
      });
    }
    let isOver = false;
    const exit = (reason: string) => {
      if (isOver) return;
      isOver = true;
      const output = errors.join(" | ").slice(0, 500);
      listener.onExit(output === "" ? reason : `${reason}; last output: ${output}`);
    };
    child.on("message", (message) => {
      if (!isOver) listener.onMessage(message as ProcessToHost);
    });
    child.on("error", (error) => exit(error.message));
    child.on("exit", (code, signal) => exit(`the agent process ended (${signal ?? `exit code ${code}`})`));
    return {
      pid: child.pid,
      send: (message) => {
        if (child.connected)
          child.send(message, (error) => error && childLog.debug({ error }, "failed to send to a process"));
      },
      kill: () => {
        child.kill("SIGKILL");
      },
      isStopped: () => isStopped(child.pid),
      runDelayMs: () => runDelayMs(child.pid),
    };
  };

/** The native library's JavaScript part logs JSON with pino's levels to standard output. */
function logNativeLine(log: Log, line: string): void {
  let parsed: { level?: number; msg?: string } | undefined;
  try {
    parsed = JSON.parse(line) as { level?: number; msg?: string };
  } catch {
    parsed = undefined;
  }
  if (typeof parsed?.level !== "number") log.info(line);
  else if (parsed.level >= 50) log.error(parsed.msg);
  else if (parsed.level >= 40) log.warn(parsed.msg);
  else log.debug(parsed.msg);
}

/** Writes a line of an agent to the host's own log. */
export function logAgentLine(
  log: Log,
  profile: string,
  { line, sessionId }: Extract<ProcessToHost, { type: "log" }>,
): void {
  const fields = { ...line.fields, profile, ...(sessionId === undefined ? {} : { sessionId }) };
  const level = line.level === "fatal" ? "error" : line.level;
  if (level === "error" || level === "warn" || level === "info") log[level](fields, line.message);
  else log.debug(fields, line.message);
}

/** A process that misses this many pings counts as hung. */
const MISSES = 3;
/** The time that a process may be silent while it loads a file or a model, which may block it. */
const LOADING_MS = 60_000;

/**
 * A process that waits for a CPU most of the time would answer if it got one. If it were killed, its agents would have
 * to be started again, which makes an overloaded machine worse.
 */
const STARVED_SHARE = 0.5;
const STARVED_MS = 20_000;
const STARVED_TIMES = 3;

/** A stopped process is detected at two checks in a row, so a short stop costs no call. */
const STOP_CHECK_MS = 250;

export interface LivenessOptions {
  readonly send: () => void;
  /** Whether the process may block for long now. */
  readonly isLoading: () => boolean;
  readonly isStopped?: (() => boolean) | undefined;
  readonly runDelayMs?: (() => number | undefined) | undefined;
  /** Called once, with the least time that the process was silent. */
  readonly onSilent: (silentMs: number) => void;
}

/**
 * Pings an agent process until it is silent for too long. A busy process is given time. A stopped process cannot hear
 * its callers any more, so it is detected sooner, by asking the operating system.
 */
export class ProcessLiveness {
  readonly #clock: Clock;
  readonly #pingMs: number;
  #missed = 0;
  /** How long the process had waited for a CPU when the first missed ping was sent. */
  #delayBefore: number | undefined;
  #cancelPing: () => void = () => {};
  #cancelStopCheck: () => void = () => {};

  constructor(clock: Clock, pingMs: number) {
    this.#clock = clock;
    this.#pingMs = pingMs;
  }

  start({ send, isLoading, isStopped, runDelayMs, onSilent }: LivenessOptions): void {
    if (isStopped !== undefined) this.#checkForStop(isStopped, onSilent);
    const ping = () => {
      const allowed = isLoading() ? Math.max(MISSES, Math.ceil(LOADING_MS / this.#pingMs)) : MISSES;
      if (this.#missed >= allowed && !this.#isStarved(runDelayMs?.(), allowed)) {
        onSilent(this.#missed * this.#pingMs);
        return;
      }
      if (this.#missed === 0) this.#delayBefore = runDelayMs?.();
      this.#missed += 1;
      send();
      this.#cancelPing = this.#clock.after(this.#pingMs, ping);
    };
    this.#cancelPing = this.#clock.after(this.#pingMs, ping);
  }

  answered(): void {
    this.#missed = 0;
  }

  stop(): void {
    this.#cancelPing();
    this.#cancelStopCheck();
  }

  /** @param allowed the number of pings that a process which gets a CPU may miss */
  #isStarved(delayMs: number | undefined, allowed: number): boolean {
    if (delayMs === undefined || this.#delayBefore === undefined) return false;
    const silentMs = this.#missed * this.#pingMs;
    const limitMs = Math.max(STARVED_MS, STARVED_TIMES * allowed * this.#pingMs);
    return silentMs < limitMs && delayMs - this.#delayBefore >= STARVED_SHARE * silentMs;
  }

  #checkForStop(isStopped: () => boolean, onSilent: (silentMs: number) => void): void {
    let wasStopped = false;
    const check = () => {
      const isStoppedNow = isStopped();
      if (isStoppedNow && wasStopped) {
        onSilent(STOP_CHECK_MS);
        return;
      }
      wasStopped = isStoppedNow;
      this.#cancelStopCheck = this.#clock.after(STOP_CHECK_MS, check);
    };
    this.#cancelStopCheck = this.#clock.after(STOP_CHECK_MS, check);
  }
}
