// The host's end of an agent process: the child process, its channel, and a check that it is alive.
import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import type { Clock } from "../../../libs/runtime/clock.ts";
import { compiledFile } from "../../../libs/runtime/compiled.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { HostToProcess, ProcessStart, ProcessToHost } from "./messages.ts";
import { type CpuTimes, cpuTimes, isStopped, threadTimes } from "./proc-stat.ts";
import { projectOf } from "./project.ts";

export interface ProcessLink {
  readonly pid: number | undefined;
  send(message: HostToProcess): void;
  /** Ends the process at once. `onExit` is called as for any other exit. */
  kill(): void;
  /** Lets the process end by itself, so that its exit handlers run, and kills it after a while. */
  exit?(): void;
  /** Whether the process is stopped by a signal. Absent where that is unknown. */
  isStopped?(): boolean;
  /** Of the main thread. Absent or undefined where that is unknown. */
  cpuTimes?(): CpuTimes | undefined;
  /** Of all threads. Absent or undefined where that is unknown. */
  threadTimes?(): CpuTimes | undefined;
}

export interface ProcessListener {
  onMessage(message: ProcessToHost): void;
  onExit(reason: string): void;
}

/** Starts an agent process; simulations and tests have their own. */
export type LaunchProcess = (start: ProcessStart, listener: ProcessListener) => ProcessLink;

/** The native library logs an error of its data channels for every room that is left as usual. */
const RUST_LOG = "error,livekit::rtc_engine::rtc_session=off";
/** Exit handlers of agent files may send what they have collected. */
const EXIT_MS = 5000;
/** The last lines of standard error and of the console, for the reason of an exit. */
const LAST_LINES = 5;

const workerLoader = pathToFileURL(
  compiledFile("services/agent-host/agent-process/loading/worker-loader.ts"),
).href;

/** Starts agent processes as child processes with this process's environment. */
export const launchAgentProcess =
  (log: Log): LaunchProcess =>
  (start, listener) => {
    const child = fork(compiledFile("services/agent-host/agent-process/main.ts"), {
      execArgv: ["--import", workerLoader],
      cwd: projectOf(start.file),
      env: { RUST_LOG, ...process.env, PROCESS_START: JSON.stringify(start) },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "json",
    });
    const childLog = log.child({ profile: start.profile, agentPid: child.pid });
    let errors: string[] = [];
    const keep = (line: string) => {
      errors = [...errors.slice(1 - LAST_LINES), line];
    };
    if (child.stdout)
      createInterface({ input: child.stdout }).on("line", (line) => logNativeLine(childLog, line));
    if (child.stderr) {
      createInterface({ input: child.stderr }).on("line", (line) => {
        keep(line);
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
    let isLoaded = false;
    child.on("message", (message: ProcessToHost) => {
      if (message.type === "loaded") {
        isLoaded = true;
        errors = [];
      }
      // The console of a file that exits while it loads has the reason. Later lines may belong to a session.
      if (message.type === "log" && !isLoaded && ["warn", "error"].includes(message.line.level))
        keep(message.line.message);
      if (!isOver) listener.onMessage(message);
    });
    child.on("error", (error) => exit(error.message));
    child.on("exit", (code, signal) => exit(`the agent process ended (${signal ?? `exit code ${code}`})`));
    const send = (message: HostToProcess) => {
      if (child.connected)
        child.send(message, (error) => error && childLog.debug({ error }, "failed to send to a process"));
    };
    return {
      pid: child.pid,
      send,
      kill: () => {
        child.kill("SIGKILL");
      },
      exit: () => {
        send({ type: "exit" });
        setTimeout(() => child.kill("SIGKILL"), EXIT_MS).unref();
      },
      isStopped: () => isStopped(child.pid),
      cpuTimes: () => cpuTimes(child.pid),
      threadTimes: () => threadTimes(child.pid),
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

/** The time that a process may be silent while it loads a file or a model, which may block it. */
const LOADING_MS = 60_000;

/**
 * A silent process that uses no CPU time waits for something that will not come, and gets this share of the time-out. It
 * gets a few pings in any case.
 */
const IDLE_SHARE = 0.25;
const IDLE_PINGS = 3;
/** A process whose main thread runs for this share of its silence is computing. */
const COMPUTING_SHARE = 0.05;

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
  readonly cpuTimes?: (() => CpuTimes | undefined) | undefined;
  /** Called once, with the least time that the process was silent. */
  readonly onSilent: (silentMs: number) => void;
}

/**
 * Pings an agent process until it is silent for too long. A process that computes is given time, since LiveKit's own
 * worker does the same. A stopped process cannot hear its callers any more, so it is detected sooner, by asking the
 * operating system.
 */
export class ProcessLiveness {
  readonly #clock: Clock;
  readonly #pingMs: number;
  readonly #timeoutMs: number;
  #missed = 0;
  /** The CPU times of the process when the first missed ping was sent. */
  #before: CpuTimes | undefined;
  #cancelPing: () => void = () => {};
  #cancelStopCheck: () => void = () => {};

  /** @param timeoutMs the longest silence of a process that computes */
  constructor(clock: Clock, { pingMs, timeoutMs }: { pingMs: number; timeoutMs: number }) {
    this.#clock = clock;
    this.#pingMs = pingMs;
    this.#timeoutMs = timeoutMs;
  }

  start({ send, isLoading, isStopped, cpuTimes, onSilent }: LivenessOptions): void {
    if (isStopped !== undefined) this.#checkForStop(isStopped, onSilent);
    const ping = () => {
      const silentMs = this.#missed * this.#pingMs;
      if (silentMs > 0 && silentMs >= this.#limitMs(silentMs, isLoading(), cpuTimes?.())) {
        onSilent(silentMs);
        return;
      }
      if (this.#missed === 0) this.#before = cpuTimes?.();
      this.#missed += 1;
      send();
      this.#cancelPing = this.#clock.after(this.#pingMs, ping);
    };
    this.#cancelPing = this.#clock.after(this.#pingMs, ping);
  }

  answered(): void {
    this.#missed = 0;
  }

  /** Whether the process has not answered the ping before the last one. */
  get isSilent(): boolean {
    return this.#missed > 1;
  }

  stop(): void {
    this.#cancelPing();
    this.#cancelStopCheck();
  }

  /** How long the process may be silent. */
  #limitMs(silentMs: number, isLoading: boolean, now: CpuTimes | undefined): number {
    const before = this.#before;
    const timeoutMs = isLoading ? Math.max(LOADING_MS, this.#timeoutMs) : this.#timeoutMs;
    if (now === undefined || before === undefined) return timeoutMs;
    if (now.waitedMs - before.waitedMs >= STARVED_SHARE * silentMs)
      return Math.max(STARVED_MS, STARVED_TIMES * timeoutMs);
    if (isLoading || now.ranMs - before.ranMs >= COMPUTING_SHARE * silentMs) return timeoutMs;
    return Math.max(IDLE_PINGS * this.#pingMs, IDLE_SHARE * timeoutMs);
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
      this.#cancelStopCheck = this.#clock.after(STOP_CHECK_MS, check, "coarse");
    };
    this.#cancelStopCheck = this.#clock.after(STOP_CHECK_MS, check, "coarse");
  }
}
