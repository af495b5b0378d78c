// A host's end of a stage: the child process, its channel, and whether it still lives.
import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { isStopped } from "./is-stopped.ts";
import type { HostToProcess, ProcessStart, ProcessToHost } from "./messages.ts";
import { runDelayMs } from "./run-delay.ts";

export interface ProcessLink {
  readonly pid: number | undefined;
  send(message: HostToProcess): void;
  /** Ends it at once. `onExit` is called as for any other end. */
  kill(): void;
  /** Whether its process stands still by a signal. Left out where nobody can tell. */
  isStopped?(): boolean;
  /** How long it has waited for a CPU so far, in ms. Left out or undefined where nobody can tell. */
  runDelayMs?(): number | undefined;
}

export interface ProcessListener {
  onMessage(message: ProcessToHost): void;
  onExit(reason: string): void;
}

/** Starts a stage; a simulation puts an imagined one in its place. */
export type LaunchProcess = (start: ProcessStart, listener: ProcessListener) => ProcessLink;

/** The native library calls every room that is left in order an error of its data channels. */
const QUIET = "error,livekit::rtc_engine::rtc_session=off";

/** Starts stages as child processes with this process's environment. */
export const launchAgentProcess =
  (log: Log): LaunchProcess =>
  (start, listener) => {
    const child = fork(fileURLToPath(new URL("../agent-process/main.ts", import.meta.url)), {
      execArgv: ["--import", import.meta.resolve("tsx")],
      env: { RUST_LOG: QUIET, ...process.env, STAGE_START: JSON.stringify(start) },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "json",
    });
    const stageLog = log.child({ profile: start.profile, stagePid: child.pid });
    let errors: string[] = [];
    if (child.stdout)
      createInterface({ input: child.stdout }).on("line", (line) => logNativeLine(stageLog, line));
    if (child.stderr) {
      createInterface({ input: child.stderr }).on("line", (line) => {
        errors = [...errors.slice(-4), line];
        stageLog.warn(line);
      });
    }
    let over = false;
    const exit = (reason: string) => {
      if (over) return;
      over = true;
      listener.onExit(
        errors.length === 0 ? reason : `${reason}; its last words: ${errors.join(" | ").slice(0, 500)}`,
      );
    };
    child.on("message", (message) => {
      if (!over) listener.onMessage(message as ProcessToHost);
    });
    child.on("error", (error) => exit(error.message));
    child.on("exit", (code, signal) => exit(`the stage process ended (${signal ?? `exit code ${code}`})`));
    return {
      pid: child.pid,
      send: (message) => {
        if (child.connected)
          child.send(message, (error) => error && stageLog.debug({ error }, "a stage is gone"));
      },
      kill: () => {
        child.kill("SIGKILL");
      },
      isStopped: () => isStopped(child.pid),
      runDelayMs: () => runDelayMs(child.pid),
    };
  };

/** The native library's JavaScript side logs by itself, in JSON with pino's numbers. */
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

/** Missed answers after which a stage counts as hung. */
const MISSES = 3;
/** While a file or a model loads, which may block, it is given this long. */
const LOADING_MS = 60_000;

/**
 * One that waits for a CPU most of the time would answer if it got one. Killing it would only make more work for
 * a machine that has too much already: its agents would have to be started again.
 */
const STARVED_SHARE = 0.5;
const STARVED_MS = 20_000;
const STARVED_TIMES = 3;

/** One that was stopped is seen at two looks, so that a stop of a moment costs no call. */
const LOOK_MS = 250;

export interface LivenessOptions {
  readonly send: () => void;
  /** Whether the stage may block for long now. */
  readonly isLoading: () => boolean;
  readonly isStopped?: (() => boolean) | undefined;
  readonly runDelayMs?: (() => number | undefined) | undefined;
  /** Called once, with how long it has been silent at least. */
  readonly onSilent: (silentMs: number) => void;
}

/**
 * Asks a stage again and again whether it lives. A busy one is given time; one that was stopped doesn't hear its
 * callers any more, and nothing but the system could tell that early.
 */
export class ProcessLiveness {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #missed = 0;
  /** How long it had waited for a CPU when the first of the missed answers was asked for. */
  #delayBefore: number | undefined;
  #cancel: () => void = () => {};
  #cancelLook: () => void = () => {};

  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  start({ send, isLoading, isStopped, runDelayMs, onSilent }: LivenessOptions): void {
    if (isStopped !== undefined) this.#lookForStop(isStopped, onSilent);
    const beat = () => {
      const allowed = isLoading() ? Math.max(MISSES, Math.ceil(LOADING_MS / this.#everyMs)) : MISSES;
      if (this.#missed >= allowed && !this.#isStarved(runDelayMs?.(), allowed)) {
        onSilent(this.#missed * this.#everyMs);
        return;
      }
      if (this.#missed === 0) this.#delayBefore = runDelayMs?.();
      this.#missed += 1;
      send();
      this.#cancel = this.#clock.after(this.#everyMs, beat);
    };
    this.#cancel = this.#clock.after(this.#everyMs, beat);
  }

  answered(): void {
    this.#missed = 0;
  }

  stop(): void {
    this.#cancel();
    this.#cancelLook();
  }

  /** @param allowed how many answers one may miss that is not starved */
  #isStarved(delayMs: number | undefined, allowed: number): boolean {
    if (delayMs === undefined || this.#delayBefore === undefined) return false;
    const silentMs = this.#missed * this.#everyMs;
    const limitMs = Math.max(STARVED_MS, STARVED_TIMES * allowed * this.#everyMs);
    return silentMs < limitMs && delayMs - this.#delayBefore >= STARVED_SHARE * silentMs;
  }

  #lookForStop(isStopped: () => boolean, onSilent: (silentMs: number) => void): void {
    let wasStopped = false;
    const look = () => {
      const stands = isStopped();
      if (stands && wasStopped) {
        onSilent(LOOK_MS);
        return;
      }
      wasStopped = stands;
      this.#cancelLook = this.#clock.after(LOOK_MS, look);
    };
    this.#cancelLook = this.#clock.after(LOOK_MS, look);
  }
}
