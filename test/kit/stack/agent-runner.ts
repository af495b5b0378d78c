// Runs the example agent runner as a child process, and collects its output.
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { killGroup, spawnGuarded } from "../../../cli/supervisor/guard.ts";
import { until } from "../until.ts";

const ROOT = join(import.meta.dirname, "../../..");
const MAIN = "examples/agent-runner/main.ts";

export interface RunnerSettings {
  readonly port: number;
  readonly apiUrl: string;
  readonly launcherSecret: string;
  readonly jwtSecret: string;
  readonly name?: string;
}

export class AgentRunner {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #output = "";

  /** Starts a runner and waits until it listens. */
  static async start(settings: RunnerSettings): Promise<AgentRunner> {
    const runner = new AgentRunner(settings);
    await until(
      () => {
        if (runner.hasEnded) throw new Error(`The agent runner ended before it listened:\n${runner.text()}`);
        return runner.text().includes('"listening"');
      },
      { timeoutMs: 60_000, what: () => `the agent runner listens; its output:\n${runner.text()}` },
    );
    return runner;
  }

  private constructor({ port, apiUrl, launcherSecret, jwtSecret, name }: RunnerSettings) {
    this.#child = spawnGuarded(process.execPath, ["--import", "tsx", MAIN], {
      cwd: ROOT,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: String(port),
        AGENT_LAUNCHER_SECRET: launcherSecret,
        CONTROL_PLANE_BASE_URL: apiUrl,
        CONTROL_PLANE_JWT_SECRET: jwtSecret,
        RUNNER_NAME: name ?? "example-runner",
      },
    });
    this.#closed = new Promise((resolve) => this.#child.once("close", () => resolve()));
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (part) => {
        this.#output += part;
      });
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The runner's whole output. */
  text(): string {
    return this.#output;
  }

  async kill9(): Promise<void> {
    killGroup(this.#child.pid, "SIGKILL");
    await this.#closed;
  }

  /** Stops the runner with SIGTERM, like an operator. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const late = setTimeout(() => killGroup(this.#child.pid, "SIGKILL"), 15_000);
    await this.#closed;
    clearTimeout(late);
  }
}
