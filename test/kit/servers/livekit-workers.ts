// Starts and ends LiveKit's own workers as child processes, together with their job processes.
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { freePort } from "../../../cli/servers/ports.ts";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import { until } from "../until.ts";
import type { TestLiveKit } from "./servers.ts";

const main = fileURLToPath(new URL("./livekit-worker.ts", import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
/** A busy machine needs long to load the agent framework. */
const REGISTERED_MS = 120_000;

export class LiveKitWorker {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #text = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = new Promise((resolve) => child.once("close", () => resolve()));
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (part: string) => {
        this.#text += part;
      });
  }

  /**
   * Starts a worker and waits until it has registered with LiveKit.
   * @param agentFile an ordinary agent file
   * @param agentName the name under which the worker registers; absent for a file that starts its own worker
   * @param env further variables
   */
  static async start(
    livekit: TestLiveKit,
    agentFile: string,
    agentName?: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<LiveKitWorker> {
    // In development mode, a worker has no limit of its load. Its agent file sets `loadFunc`, because LiveKit's
    // server still gives no job to a worker that reports a load of 1.
    const command = agentName === undefined ? [agentFile, "dev"] : [main, "start"];
    const child = spawn(process.execPath, ["--import", tsx, ...command], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...env,
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        LIVEKIT_URL: livekit.url,
        LIVEKIT_API_KEY: livekit.apiKey,
        LIVEKIT_API_SECRET: livekit.apiSecret,
        WORKER_AGENT_FILE: agentFile,
        ...(agentName === undefined ? {} : { WORKER_AGENT_NAME: agentName }),
        WORKER_PORT: String(await freePort()),
      },
    });
    const worker = new LiveKitWorker(child);
    try {
      await until(
        () => {
          if (child.exitCode !== null) throw new Error(`The worker ended:\n${worker.#text}`);
          return worker.#text.includes("registered worker");
        },
        {
          timeoutMs: REGISTERED_MS,
          everyMs: 100,
          what: () => `a worker registers; its output:\n${worker.#text}`,
        },
      );
    } catch (error) {
      await worker.kill9();
      throw error;
    }
    return worker;
  }

  /** The number of jobs that the worker has received. */
  get jobs(): number {
    return this.#text.split("received job request").length - 1;
  }

  /** The whole output of the worker and its jobs. */
  text(): string {
    return this.#text;
  }

  /** Kills the worker and its job processes. */
  async kill9(): Promise<void> {
    killGroup(this.#child.pid, "SIGKILL");
    await this.#closed;
  }
}
