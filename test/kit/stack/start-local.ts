// Starts a supervisor as a process of its own, to look at what it does and leaves.
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../../cli/servers/ports.ts";
import { repositoryRoot } from "../../../cli/supervisor/fork-service.ts";
import { pidsWithEnvironment } from "../../../cli/supervisor/processes.ts";
import { until } from "../until.ts";

export type LogRecord = {
  level: string;
  service: string;
  msg: string;
  pid?: number;
  [field: string]: unknown;
};

const MARK = "LOCAL_OF_TEST";
const fakeLocal = fileURLToPath(new URL("../fakes/services/fake-local.ts", import.meta.url));
export const realLocal = join(repositoryRoot, "cli", "start.ts");
export const realCluster = join(repositoryRoot, "cli", "start-cluster.ts");

/** A data directory, ports and a mark of one test; several supervisors may run on it, one after another. */
export class LocalSite {
  readonly dataDir: string;
  readonly port: number;
  readonly natsPort: number;
  readonly livekitPort: number;
  readonly #mark = randomBytes(8).toString("hex");
  readonly #started: LocalProcess[] = [];

  static async make(): Promise<LocalSite> {
    const dir = await mkdtemp(join(tmpdir(), "greenroom-local-"));
    return new LocalSite(dir, await freePort(), await freePort(), await freePort());
  }

  private constructor(dataDir: string, port: number, natsPort: number, livekitPort: number) {
    this.dataDir = dataDir;
    this.port = port;
    this.natsPort = natsPort;
    this.livekitPort = livekitPort;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it with fake services, or another main. Simulated rooms, unless `env` says otherwise. */
  start(env: Record<string, string> = {}, main: string = fakeLocal): LocalProcess {
    return this.#start(process.execPath, ["--import", "tsx", main], env);
  }

  /** `npm start` as a person types it. */
  startByNpm(env: Record<string, string> = {}): LocalProcess {
    return this.#start("npm", ["start", "--silent"], env);
  }

  #start(program: string, args: readonly string[], env: Record<string, string>): LocalProcess {
    const local = new LocalProcess(program, args, {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      XDG_CACHE_HOME: process.env.XDG_CACHE_HOME,
      GREENROOM_NATS_SERVER: process.env.GREENROOM_NATS_SERVER,
      GREENROOM_LIVEKIT_SERVER: process.env.GREENROOM_LIVEKIT_SERVER,
      GREENROOM_DATA_DIR: this.dataDir,
      GREENROOM_PORT: String(this.port),
      FAKE_NATS_PORT: String(this.natsPort),
      FAKE_LIVEKIT_PORT: String(this.livekitPort),
      LIVEKIT_MOCK_MODE: "true",
      [MARK]: this.#mark,
      ...env,
    });
    this.#started.push(local);
    return local;
  }

  /** Every living process that was started here, however deep. */
  pids(): number[] {
    return pidsWithEnvironment(MARK, this.#mark);
  }

  /** Waits until nothing that was started here lives. */
  async isEmpty(timeoutMs = 15_000): Promise<void> {
    await until(() => this.pids().length === 0, {
      timeoutMs,
      what: () => `nothing is left; there are ${this.pids().join(", ")}`,
    });
  }

  /** For afterEach: ends what a failed test left. */
  async clean(): Promise<void> {
    for (const local of this.#started) local.signal("SIGKILL");
    for (const pid of this.pids()) process.kill(pid, "SIGKILL");
    await this.isEmpty();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}

export class LocalProcess {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #output = "";

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.#child = spawn(program, args, {
      cwd: repositoryRoot,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#closed = new Promise((resolve) => this.#child.once("close", () => resolve()));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (part) => {
        this.#output += part;
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  text(): string {
    return this.#output;
  }

  /** The whole log. @throws Error for a line that is no JSON */
  records(): LogRecord[] {
    const whole = this.#output.slice(0, this.#output.lastIndexOf("\n") + 1);
    return whole
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LogRecord);
  }

  /** Waits for a line of the log; answers it. */
  async description(pattern: RegExp, service?: string, timeoutMs = 30_000): Promise<LogRecord> {
    return await until(
      () =>
        this.records().find(
          (record) => pattern.test(record.msg) && (service === undefined || record.service === service),
        ),
      { timeoutMs, what: () => `the log says ${pattern}:\n${this.#output}` },
    );
  }

  /** Waits until everything runs. */
  ready(timeoutMs = 60_000): Promise<LogRecord> {
    return this.description(/^Greenroom is ready/, "greenroom", timeoutMs);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Its exit code, once it has ended by itself or by a signal. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#child.exitCode;
  }
}
