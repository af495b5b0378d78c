// The state of a profile's agent file on a host: unknown, loaded, or disabled.
import type { HostProfile } from "../../../libs/contracts/fleet/host.ts";
import type { ProcessToHost } from "./messages.ts";
import type { AgentProcess } from "./slots.ts";

/** A shorter interruption is not heard: agents send their speech ahead of time. */
export const BLOCKING_MS = 200;

type Loaded = Extract<ProcessToHost, { type: "loaded" }>;
type Known = Pick<HostProfile, "isolation" | "agentName" | "version">;

export class AgentFile {
  #known: Known | undefined;
  #disabledReason: string | undefined;
  /** The error of the latest session, if each session would fail with it. */
  problem: string | undefined;

  /** Known once a process has loaded the file. */
  get known(): Known | undefined {
    return this.#known;
  }

  get disabledReason(): string | undefined {
    return this.#disabledReason;
  }

  /** Whether agents can be started. */
  get isUsable(): boolean {
    return this.#known !== undefined && this.#disabledReason === undefined;
  }

  /** Whether each session gets a process of its own. */
  get isProcessIsolated(): boolean {
    return this.#known?.isolation === "process";
  }

  /** The problem for which a process of the file was replaced. */
  fault: string | undefined;
  #warmingMs = 0;

  /** Whether the start of an agent would interrupt the calls in its process. */
  get warmingBlocks(): boolean {
    return this.#warmingMs >= BLOCKING_MS;
  }

  /** Measures the CPU time of the main thread for each agent. Once the process has sessions, their work is in it. */
  warmed(process: AgentProcess): void {
    process.warmed += 1;
    const ranMs = process.link.cpuTimes?.()?.ranMs;
    if (ranMs === undefined || process.ranMsAtLoad === undefined || process.served > 0) return;
    this.#warmingMs = (ranMs - process.ranMsAtLoad) / process.warmed;
  }

  loaded({ agentName, isolation, version }: Loaded): void {
    this.#known = {
      isolation,
      ...(agentName === undefined ? {} : { agentName }),
      ...(version === undefined ? {} : { version }),
    };
  }

  /** The file is loaded again, so what is known of its errors is out of date. */
  changed(): void {
    this.#disabledReason = undefined;
    this.problem = undefined;
    this.fault = undefined;
  }

  /** @returns false for a file that was loaded before: it is being changed, and the next process loads it again */
  disable(reason: string): boolean {
    if (this.#known !== undefined) return false;
    this.#disabledReason = reason;
    return true;
  }
}
