// A real service process of a stack, with its log.
import type { ChildProcess } from "node:child_process";
import { forkService, serviceMain } from "../../../cli/supervisor/fork-service.ts";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import type { ProcessName } from "../../../libs/contracts/fleet/pool.ts";
import { until } from "../until.ts";

export type LogLine = Record<string, unknown> & { level?: string; service?: string; msg?: string };

const KEPT_LINES = 5000;

export class ServiceProcess {
  readonly name: string;
  readonly service: ProcessName;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  readonly #lines: string[] = [];
  #isRunning = false;
  #mustBeKilled = false;

  /** @param main the file that is run */
  constructor(service: ProcessName, name: string, env: NodeJS.ProcessEnv, main = serviceMain(service)) {
    this.service = service;
    this.name = name;
    this.#child = forkService(main, env);
    this.#closed = new Promise((resolve) => this.#child.once("close", () => resolve()));
    this.#child.on("message", (message) => {
      if ((message as { type?: unknown }).type === "running") this.#isRunning = true;
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) this.#readLines(stream!);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** The newest lines of the output, as text. */
  text(): string {
    return this.#lines.join("\n");
  }

  /** The log lines. A line that isn't JSON becomes `{ msg }`. */
  logs(): LogLine[] {
    return this.#lines.map((line) => {
      try {
        return JSON.parse(line) as LogLine;
      } catch {
        return { msg: line };
      }
    });
  }

  /** Waits until the service reports that it runs. */
  async running(timeoutMs = 90_000): Promise<void> {
    await until(
      () => {
        if (this.hasEnded) throw new Error(`${this.name} ended before it ran:\n${this.text()}`);
        return this.#isRunning;
      },
      { timeoutMs, what: () => `${this.name} runs; its output:\n${this.text()}` },
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Kills the service and everything in its process group. */
  async kill9(): Promise<void> {
    killGroup(this.#child.pid, "SIGKILL");
    await this.#closed;
  }

  /** Sends SIGTERM, and SIGKILL to the process group after `stopMs`. @throws Error if the kill was needed */
  async stop(stopMs: number): Promise<void> {
    this.#child.kill("SIGTERM");
    const late = setTimeout(() => {
      this.#mustBeKilled = true;
      killGroup(this.#child.pid, "SIGKILL");
    }, stopMs);
    await this.#closed;
    clearTimeout(late);
    if (!this.#mustBeKilled) return;
    throw new Error(
      `${this.name} did not stop within ${stopMs} ms; its last lines:\n${this.#lines.slice(-10).join("\n")}`,
    );
  }

  #readLines(stream: NodeJS.ReadableStream): void {
    let rest = "";
    stream.setEncoding("utf8");
    stream.on("data", (part: string) => {
      const lines = (rest + part).split("\n");
      rest = lines.pop() ?? "";
      this.#lines.push(...lines.filter((line) => line !== ""));
      if (this.#lines.length > KEPT_LINES) this.#lines.splice(0, this.#lines.length - KEPT_LINES);
    });
  }
}
