// A host's end of a stage: the child process, its channel, and whether it still lives.
import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../libs/process/clock.ts";
import type { Log } from "../../libs/process/log.ts";
import type { FromStage, StageStart, ToStage } from "./stage-messages.ts";

export interface StageLink {
  readonly pid: number | undefined;
  send(message: ToStage): void;
  /** Ends it at once. `onExit` is called as for any other end. */
  kill(): void;
}

export interface StageListener {
  onMessage(message: FromStage): void;
  onExit(why: string): void;
}

/** Starts a stage; a simulation puts an imagined one in its place. */
export type LaunchStage = (start: StageStart, listener: StageListener) => StageLink;

/** The native library calls every room that is left in order an error of its data channels. */
const QUIET = "error,livekit::rtc_engine::rtc_session=off";

/** Starts stages as child processes with this process's environment. */
export const launchStageProcess =
  (log: Log): LaunchStage =>
  (start, listener) => {
    const child = fork(fileURLToPath(new URL("stage.ts", import.meta.url)), {
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
    const exit = (why: string) => {
      if (over) return;
      over = true;
      listener.onExit(
        errors.length === 0 ? why : `${why}; its last words: ${errors.join(" | ").slice(0, 500)}`,
      );
    };
    child.on("message", (message) => {
      if (!over) listener.onMessage(message as FromStage);
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

/** Asks a stage again and again whether it lives; `onSilent` is called once when it doesn't. */
export class StagePulse {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #missed = 0;
  #cancel: () => void = () => {};

  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  /** @param isLoading whether the stage may block for long now. */
  start(send: () => void, isLoading: () => boolean, onSilent: (silentMs: number) => void): void {
    const beat = () => {
      const allowed = isLoading() ? Math.max(MISSES, Math.ceil(LOADING_MS / this.#everyMs)) : MISSES;
      if (this.#missed >= allowed) {
        onSilent(this.#missed * this.#everyMs);
        return;
      }
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
  }
}
