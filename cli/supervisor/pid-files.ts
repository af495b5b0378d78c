// Remembers on disk which processes were started, so that the next start finds what a killed one left.
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

  /** Synchronous on purpose: between the start and this note there must be no time to be killed in. */
  write(name: string, pid: number): void {
    const identity = processIdentity(pid);
    if (identity !== undefined) writeFileSync(this.#file(name), JSON.stringify({ pid, identity }));
  }

  remove(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  /** What a former start left running. A pid that belongs to another process by now doesn't count. */
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
   * Ends the orphans, in order if they do so within `graceMs`: most of them are stopping already, since they
   * notice when their supervisor dies.
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
    // It ended in between.
  }
}
