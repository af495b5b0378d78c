// Loads an agent file again after a change. The processes of the old file stay until the new one has loaded.
import type { Log } from "../../../libs/runtime/log.ts";
import type { ProcessStart } from "./messages.ts";
import type { ProcessPool } from "./process-pool.ts";
import type { AgentProcess } from "./slots.ts";

interface Deps {
  readonly log: Log;
  readonly start: ProcessStart;
  readonly processes: ProcessPool;
  /** Ends a process once its sessions are over. */
  readonly replace: (process: AgentProcess) => void;
}

/** Holds the process that loads the changed file. */
export class ChangedFile {
  readonly #deps: Deps;
  #candidate: AgentProcess | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** For a file that has not loaded yet. */
  loadFirst(): AgentProcess {
    const { processes, replace } = this.#deps;
    for (const process of processes.all()) if (!process.isLoaded) replace(process);
    return processes.launch();
  }

  load(): void {
    this.#candidate = this.loadFirst();
    // The process gets no agents before it has loaded the file.
    this.#candidate.isUnhealthy = true;
  }

  /**
   * Replaces the processes of the old file if this one has loaded the changed file.
   * @returns whether it has
   */
  loaded(candidate: AgentProcess): boolean {
    if (candidate !== this.#candidate) return false;
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
    const { log, start } = this.#deps;
    log.warn({ profile: start.profile, reason }, "failed to load the changed file; its old agents stay");
    return true;
  }
}
