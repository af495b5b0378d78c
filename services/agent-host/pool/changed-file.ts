// Loads an agent file again after a change. Until it has loaded, the old code serves, in new processes too.
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { ProcessStart, ProcessToHost } from "./messages.ts";
import type { LoadedCode, ProcessPool } from "./process-pool.ts";
import type { AgentProcess } from "./slots.ts";

/** A package that the file imports may be installed by then, without a change of the file. */
const RETRY_MS = 30_000;

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly start: ProcessStart;
  readonly processes: ProcessPool;
  /** Ends a process once its sessions are over. */
  readonly replace: (process: AgentProcess) => void;
  readonly onChange: () => void;
  /** Called a while after the changed file has failed to load. */
  readonly onRetry: () => void;
}

type Loaded = Extract<ProcessToHost, { type: "loaded" }>;

/** Holds the process that loads the changed file. */
export class ChangedFile {
  readonly #deps: Deps;
  #candidate: AgentProcess | undefined;
  /** The code of the process that loaded last. */
  #lastCode: LoadedCode | undefined;
  #cancelRetry = () => {};
  /** Why the changed file does not serve. */
  fault: string | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** For a file that has not loaded yet. */
  loadFirst(): AgentProcess {
    const { processes, replace } = this.#deps;
    for (const process of processes.all()) if (!process.isLoaded) replace(process);
    return processes.launch({ loadsOldCode: false });
  }

  load(): void {
    this.#cancelRetry();
    this.#deps.processes.oldCode = this.#lastCode;
    this.#candidate = this.loadFirst();
    // The process gets no agents before it has loaded the file.
    this.#candidate.isUnhealthy = true;
  }

  /** Whether the process has code from before the change: it began earlier, and serves one more session. */
  isOutdated(process: AgentProcess): boolean {
    return process.isUnhealthy && process !== this.#candidate;
  }

  /**
   * Replaces the processes of the old file if this one has loaded the changed file.
   * @returns whether it has
   */
  loaded(candidate: AgentProcess, { sources, version }: Loaded): boolean {
    if (sources !== undefined) this.#lastCode = { sources, version };
    if (candidate !== this.#candidate) return false;
    this.#deps.processes.oldCode = undefined;
    this.fault = undefined;
    const outdated = this.#deps.processes.all().filter((process) => process !== candidate);
    this.#candidate = undefined;
    candidate.isUnhealthy = false;
    // All at once, so that no agent starts in one of them.
    for (const process of outdated) process.isUnhealthy = true;
    for (const process of outdated) this.#deps.replace(process);
    return true;
  }

  /** @returns whether the process was to load the changed file */
  failed(process: AgentProcess, reason: string): boolean {
    if (process !== this.#candidate) return false;
    this.#candidate = undefined;
    const { clock, log, onChange, onRetry, start } = this.#deps;
    this.fault = `the changed file failed to load, so the old code serves: ${reason}`;
    log.warn(
      { profile: start.profile, reason, retrying: true },
      "failed to load the changed file; its old code stays",
    );
    this.#cancelRetry = clock.after(RETRY_MS, onRetry);
    onChange();
    return true;
  }
}
