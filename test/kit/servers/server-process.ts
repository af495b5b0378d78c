// A real server process of a test.
import type { ChildProcess } from "node:child_process";
import { findBinary } from "../../../cli/servers/binaries.ts";
import type { BinarySpec } from "../../../cli/servers/binary-specs.ts";
import { spawnGuarded } from "../../../cli/supervisor/guard.ts";
import { until } from "../until.ts";

/** Returns the path of the program, and installs it when it is missing. Progress goes to stderr. */
export const binaryOf = (spec: BinarySpec): Promise<string> =>
  findBinary(spec, { env: process.env, report: (line) => console.error(line) });

const START_MS = 60_000;
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
          if (server.hasEnded)
            throw new Error(`${name} ended: ${lastLineOf(server.#output)}\n${server.#output}`);
          return await isReady();
        },
        { timeoutMs: START_MS, everyMs: 25, what: () => `${name} answers; its output: ${server.#output}` },
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

  /** The end of the server's output. */
  get output(): string {
    return this.#output;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    // A stopped process handles no signal but SIGKILL until it continues.
    this.#child.kill("SIGCONT");
    const late = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#closed;
    clearTimeout(late);
  }
}

/** A server's last line is its reason, and reports show the first line of an error. */
const lastLineOf = (text: string): string => text.trimEnd().split("\n").at(-1) ?? "";
