// One real server of a test: ready when it answers, gone when it is ended.
import type { ChildProcess } from "node:child_process";
import { findBinary } from "../../../cli/servers/binaries.ts";
import type { BinarySpec } from "../../../cli/servers/binary-specs.ts";
import { spawnGuarded } from "../../../cli/supervisor/guard.ts";
import { until } from "../until.ts";

/** The program, installed when it is missing; what that takes is shown. */
export const binaryOf = (spec: BinarySpec): Promise<string> =>
  findBinary(spec, { env: process.env, report: (line) => console.error(line) });

const START_MS = 20_000;
const STOP_MS = 10_000;

export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #output = "";

  static async start(
    name: string,
    binary: string,
    args: readonly string[],
    isReady: () => Promise<boolean>,
  ): Promise<ServerProcess> {
    const server = new ServerProcess(spawnGuarded(binary, args));
    try {
      await until(
        async () => {
          if (server.#child.exitCode !== null) throw new Error(`${name} ended: ${server.#output}`);
          return await isReady();
        },
        { timeoutMs: START_MS, everyMs: 25, what: () => `${name} answers; it said: ${server.#output}` },
      );
    } catch (error) {
      await server.end("SIGKILL");
      throw error;
    }
    return server;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = new Promise((resolve) => child.once("close", () => resolve()));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (part) => {
        this.#output = (this.#output + part).slice(-8000);
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The last of what it wrote. */
  get output(): string {
    return this.#output;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    // One that was stopped hears nothing but SIGKILL until it goes on.
    this.#child.kill("SIGCONT");
    const late = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#closed;
    clearTimeout(late);
  }
}
