// A service process of the run, which is restarted after its death, like under a supervisor.
import type { ChildProcess } from "node:child_process";
import { forkService, serviceMain } from "../../../cli/supervisor/fork-service.ts";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import type { ProcessName } from "../../../libs/contracts/fleet/pool.ts";
import { until } from "../../kit/until.ts";

interface Options {
  readonly service: ProcessName;
  readonly name: string;
  readonly env: NodeJS.ProcessEnv;
  /** The delay of the restart after a death, in ms. */
  readonly pauseMs: () => number;
  readonly onLine: (line: string) => void;
  /** Called when the process exits without a signal of the run. */
  readonly onOwnEnd: (exitCode: number) => void;
}

const STOP_MS = 12_000;

export class Supervised {
  readonly #options: Options;
  #child: ChildProcess | undefined;
  #again: NodeJS.Timeout | undefined;
  #isRunning = false;
  #isWanted = false;

  constructor(options: Options) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get service(): ProcessName {
    return this.#options.service;
  }

  /** Undefined while no process runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** True once the process has reported that it runs. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  start(): void {
    this.#isWanted = true;
    const child = forkService(serviceMain(this.service), this.#options.env);
    this.#child = child;
    child.on("message", (message) => {
      if ((message as { type?: unknown }).type === "running") this.#isRunning = true;
    });
    child.on("error", () => {});
    child.on("exit", (code) => this.#ended(code));
    for (const stream of [child.stdout, child.stderr]) readLines(stream!, this.#options.onLine);
  }

  async running(timeoutMs: number): Promise<void> {
    await until(() => this.#isRunning, { timeoutMs, everyMs: 50, what: `${this.name} runs` });
  }

  /** Signals the process alone, or with its children. */
  signal(signal: NodeJS.Signals, whom: "alone" | "group"): void {
    if (this.#child === undefined) return;
    if (whom === "alone") this.#child.kill(signal);
    else killGroup(this.#child.pid, signal);
  }

  /** Stops the process for good, and kills it after a limit. @returns true if the kill was needed */
  async end(): Promise<boolean> {
    this.#isWanted = false;
    clearTimeout(this.#again);
    const child = this.#child;
    if (child === undefined) return false;
    killGroup(child.pid, "SIGCONT");
    child.kill("SIGTERM");
    let isForced = false;
    const late = setTimeout(() => {
      isForced = true;
      killGroup(child.pid, "SIGKILL");
    }, STOP_MS);
    await until(() => this.#child === undefined, {
      timeoutMs: STOP_MS * 2,
      everyMs: 20,
      what: `${this.name} has ended`,
    });
    clearTimeout(late);
    return isForced;
  }

  #ended(code: number | null): void {
    this.#child = undefined;
    this.#isRunning = false;
    if (!this.#isWanted) return;
    if (code !== null) this.#options.onOwnEnd(code);
    this.#again = setTimeout(() => this.start(), this.#options.pauseMs());
  }
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (part: string) => {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") onLine(line);
  });
}
