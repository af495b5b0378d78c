// Stores the pids of started processes, so that the next start finds processes that a killed supervisor left.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { killGroup } from "./guard.ts";
import { isSameProcess, processIdentity } from "./processes.ts";

export interface Orphan {
  readonly name: string;
  readonly pid: number;
}

const EVERY_MS = 50;

export class PidFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** Synchronous, so that the supervisor can't be killed between the start of the child and this note. */
  write(name: string, pid: number): void {
    const identity = processIdentity(pid);
    if (identity !== undefined) writeFileSync(this.#file(name), JSON.stringify({ pid, identity }));
  }

  remove(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  /** Processes that a previous start left running. Reused pids are ignored. */
  orphans(): Orphan[] {
    return readdirSync(this.#directory).flatMap((file) => {
      const name = file.replace(/\.json$/, "");
      try {
        const text = readFileSync(join(this.#directory, file), "utf8");
        const { pid, identity } = JSON.parse(text) as { pid: number; identity: string };
        return isSameProcess(pid, identity) ? [{ name, pid }] : [];
      } catch {
        return [];
      }
    });
  }

  /**
   * Ends the orphans: by SIGTERM, and by SIGKILL after `graceMs`. Most of them are stopping already, because their
   * supervisor died.
   */
  async endOrphans(graceMs: number): Promise<void> {
    for (const { pid } of this.orphans()) signal(pid, "SIGTERM");
    const deadline = performance.now() + graceMs;
    while (this.orphans().length > 0 && performance.now() < deadline) await pause();
    for (const { pid } of this.orphans()) killGroup(pid, "SIGKILL");
    while (this.orphans().length > 0 && performance.now() < deadline + 5000) await pause();
    for (const file of readdirSync(this.#directory)) rmSync(join(this.#directory, file), { force: true });
  }

  #file(name: string): string {
    return join(this.#directory, `${name}.json`);
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, EVERY_MS));

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // The process has ended since.
  }
}
