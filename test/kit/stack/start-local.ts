// Starts a supervisor as a process of its own, so that tests can check what it does and leaves behind.
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../cli/servers/ports.ts";
import { pidsWithEnvironment } from "../../../cli/supervisor/processes.ts";
import { compiledFile, repositoryRoot } from "../../../libs/runtime/compiled.ts";
import { until } from "../until.ts";

export type LogRecord = {
  level: string;
  service: string;
  msg: string;
  pid?: number;
  [field: string]: unknown;
};

const MARK = "LOCAL_OF_TEST";
const fakeLocal = compiledFile("test/kit/fakes/services/fake-local.ts");
export const realLocal = compiledFile("cli/local/dev.ts");
export const realCluster = compiledFile("cli/start-cluster.ts");

/** A data directory, ports and an environment mark. Several supervisors may use a site, one after the other. */
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

  /** Starts the supervisor with fake services, or another main file. Rooms are simulated by default. */
  start(
    env: Record<string, string> = {},
    main: string = fakeLocal,
    args: readonly string[] = [],
  ): LocalProcess {
    return this.#start(process.execPath, [main, ...args], env);
  }

  /** Runs `npm start`. */
  startByNpm(env: Record<string, string> = {}): LocalProcess {
    return this.#start("npm", ["start", "--silent"], env);
  }

  /** Runs `npx greenroom` in the folder of a project. A signal reaches all its processes, like Ctrl+C on a terminal. */
  startInProject(folder: string, args: readonly string[], env: Record<string, string> = {}): LocalProcess {
    return this.#start("npx", ["greenroom", ...args], env, folder);
  }

  #start(
    program: string,
    args: readonly string[],
    env: Record<string, string>,
    folder?: string,
  ): LocalProcess {
    const own = {
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
    };
    const local = new LocalProcess(program, args, own, folder);
    this.#started.push(local);
    return local;
  }

  /** All running processes of this site, including descendants. */
  pids(): number[] {
    return pidsWithEnvironment(MARK, this.#mark);
  }

  /** Waits until no process of this site runs. */
  async isEmpty(timeoutMs = 15_000): Promise<void> {
    await until(() => this.pids().length === 0, {
      timeoutMs,
      what: () => `no process is left; still running: ${this.pids().map(describeProcess).join(", ")}`,
    });
  }

  /** Kills everything that a failed test left; for afterEach. */
  async clean(): Promise<void> {
    for (const local of this.#started) local.signal("SIGKILL");
    for (const pid of this.pids()) process.kill(pid, "SIGKILL");
    await this.isEmpty();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}

function describeProcess(pid: number): string {
  try {
    const [status] = readFileSync(`/proc/${pid}/status`, "utf8").match(/State:.*/) ?? [];
    return `${pid} (${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}; ${status})`;
  } catch {
    return `${pid} (ended meanwhile)`;
  }
}

export class LocalProcess {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  readonly #isGroup: boolean;
  #output = "";

  /** @param project the folder of a project. Its processes are a group, like those of a terminal */
  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv, project?: string) {
    this.#isGroup = project !== undefined;
    this.#child = spawn(program, args, {
      cwd: project ?? repositoryRoot,
      env,
      detached: this.#isGroup,
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

  /** Parses the whole log. @throws Error for a line that isn't JSON */
  records(): LogRecord[] {
    const whole = this.#output.slice(0, this.#output.lastIndexOf("\n") + 1);
    return whole
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LogRecord);
  }

  /** Waits for a line of the log and returns it. */
  async logged(pattern: RegExp, service?: string, timeoutMs = 30_000): Promise<LogRecord> {
    return await until(
      () =>
        this.records().find(
          (record) => pattern.test(record.msg) && (service === undefined || record.service === service),
        ),
      { timeoutMs, what: () => `the log contains ${pattern}:\n${this.#output}` },
    );
  }

  /** Waits until everything runs. */
  ready(timeoutMs = 60_000): Promise<LogRecord> {
    return this.logged(/^Greenroom is ready/, "greenroom", timeoutMs);
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#isGroup) this.#child.kill(signal);
    else if (this.#child.exitCode === null && this.#child.signalCode === null)
      process.kill(-this.pid, signal);
  }

  /** Waits for the end and returns the exit code. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#child.exitCode;
  }
}
