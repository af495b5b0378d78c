// A whole Greenroom for system tests: real NATS, real LiveKit, and real services as processes.
import { randomBytes } from "node:crypto";
import { build } from "../../../cli/build.mjs";
import { freePort } from "../../../cli/servers/ports.ts";
import type { Shape } from "../../../cli/supervisor/local-services.ts";
import { membersOfGroups, pidsWithEnvironment } from "../../../cli/supervisor/processes.ts";
import { type ProcessName, RoleName } from "../../../libs/contracts/fleet/pool.ts";
import type { TestLiveKit } from "../servers/servers.ts";
import { borrowLiveKit, borrowNats } from "../servers/shared-servers.ts";
import type { TestNats } from "../servers/test-nats.ts";
import { until } from "../until.ts";
import { ServiceProcess } from "./service-process.ts";

export interface StackOptions {
  readonly agentsDir?: string;
  /** Settings of every service. Only PATH, HOME and the like are inherited from the test. */
  readonly env?: Readonly<Record<string, string>>;
  readonly hosts?: number;
  readonly gateways?: number;
  readonly dispatchers?: number;
  readonly janitors?: number;
  /** The number of processes of each other role, 0 by default. */
  readonly providers?: number;
  readonly handoffs?: number;
  readonly tasks?: number;
  readonly calls?: number;
  readonly webhooks?: number;
  readonly privacy?: number;
  /** Whether all roles run in one process, or each in its own. STACK_SHAPE is the default. */
  readonly shape?: Shape;
  /** Simulates rooms instead of using LiveKit. */
  readonly mock?: boolean;
  /** The time that a service may take to stop. */
  readonly stopMs?: number;
  /** A NATS that the test owns and stops itself. */
  readonly nats?: TestNats;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read answers of any shape.
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON, or the text of any other type. */
  readonly body: Json;
}

export interface Stack {
  /** The first gateway. */
  readonly url: string;
  readonly urls: readonly string[];
  readonly natsUrl: string;
  readonly nats: TestNats;
  readonly livekit: TestLiveKit | undefined;
  /** Every service process ever started, including those that have ended. */
  readonly children: readonly ServiceProcess[];
  readonly shape: Shape;
  /** A child by its name, for example `gateway-1` or `agent-host-2`. A role is its control process in that shape. */
  child(name: string): ServiceProcess;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  /**
   * Starts another process of a service and waits until it runs.
   * @param main the file to run instead of the service's own
   */
  spawnService(
    service: ProcessName,
    env?: Readonly<Record<string, string>>,
    main?: string,
  ): Promise<ServiceProcess>;
  /** Stops everything. @throws Error if a service had to be killed or left a process behind */
  stop(): Promise<void>;
  /** Running processes of this stack, including their children. */
  leftovers(): number[];
}

/** Marks every process of a stack. Children inherit the variable, so that agent processes are found too. */
const MARK = "STACK_OF_TEST";
const INHERITED = ["PATH", "HOME", "LANG", "TMPDIR", "SystemRoot", "NODE_EXTRA_CA_CERTS"];

/** The suite `cluster` runs the files of the other suites on three nodes, and gives each role a process of its own. */
const natsNodes = Number(process.env.STACK_NATS_NODES ?? "1");
const defaultShape = process.env.STACK_SHAPE === "roles" ? "roles" : "control";

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  // A bench starts a stack without vitest, which compiles before its first test.
  await build();
  const nats = options.nats ?? (await borrowNats(natsNodes));
  const stopNats = async () => {
    if (options.nats === undefined) await nats.stop();
  };
  let stack: RunningStack;
  try {
    const livekit = options.mock === true ? undefined : await borrowLiveKit();
    const first = livekit?.webhookPort ?? (await freePort());
    const others = Array.from({ length: (options.gateways ?? 1) - 1 }, () => freePort());
    stack = new RunningStack(options, nats, livekit, [first, ...(await Promise.all(others))]);
  } catch (error) {
    await stopNats();
    throw error;
  }
  try {
    await stack.start();
  } catch (error) {
    await stack.stop().catch(() => {});
    throw error;
  }
  return stack;
}

class RunningStack implements Stack {
  readonly url: string;
  readonly urls: readonly string[];
  readonly natsUrl: string;
  readonly nats: TestNats;
  readonly livekit: TestLiveKit | undefined;
  readonly children: ServiceProcess[] = [];
  readonly shape: Shape;
  readonly #options: StackOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #ports: readonly number[];
  readonly #mark = randomBytes(8).toString("hex");

  constructor(
    options: StackOptions,
    nats: TestNats,
    livekit: TestLiveKit | undefined,
    ports: readonly number[],
  ) {
    this.#options = options;
    this.shape = options.shape ?? defaultShape;
    this.#ports = ports;
    this.nats = nats;
    this.livekit = livekit;
    this.natsUrl = nats.url;
    this.urls = ports.map((port) => `http://127.0.0.1:${port}`);
    this.url = this.urls[0]!;
    this.#env = {
      ...Object.fromEntries(INHERITED.map((name) => [name, process.env[name]])),
      [MARK]: this.#mark,
      NATS_URL: nats.url,
      GREENROOM_REPLICAS: String(nats.replicas ?? 1),
      ...(livekit === undefined
        ? { LIVEKIT_MOCK_MODE: "true" }
        : {
            LIVEKIT_URL: livekit.url,
            LIVEKIT_API_KEY: livekit.apiKey,
            LIVEKIT_API_SECRET: livekit.apiSecret,
          }),
      GREENROOM_DRAIN_TIMEOUT_MS: "1000",
      ...(options.agentsDir === undefined ? {} : { GREENROOM_AGENTS_DIR: options.agentsDir }),
      ...options.env,
    };
  }

  async start(): Promise<void> {
    await Promise.all([
      ...this.#ports.map((port) => this.spawnService("gateway", { GREENROOM_PORT: String(port) })),
      ...Array.from({ length: this.#options.hosts ?? 1 }, () => this.spawnService("agent-host")),
      ...this.#startRoles(),
    ]);
    for (const url of this.urls) {
      await until(async () => (await this.#fetch(url, "/readyz", {})).status === 200, {
        timeoutMs: 90_000,
        what: () => `${url}/readyz answers 200; output of the gateways:\n${this.#textOf("gateway")}`,
      });
    }
  }

  /** Starts the roles. Two dispatchers and one janitor are three processes, or two control processes, one without a janitor. */
  #startRoles(): Promise<ServiceProcess>[] {
    const most = Math.max(...RoleName.options.map((role) => this.#countOf(role)));
    const rounds = Array.from({ length: most }, (_, index) => this.#rolesOf(index + 1));
    if (this.shape === "roles") return rounds.flat().map((role) => this.spawnService(role));
    return rounds.map((roles) => this.spawnService("control", { GREENROOM_ROLES: roles.join() }));
  }

  /** The roles with at least `count` instances. */
  #rolesOf(count: number): RoleName[] {
    return RoleName.options.filter((role) => this.#countOf(role) >= count);
  }

  #countOf(role: RoleName): number {
    const { dispatchers = 1, janitors = 1 } = this.#options;
    if (role === "dispatcher") return dispatchers;
    return role === "janitor" ? janitors : (this.#options[role] ?? 0);
  }

  child(name: string): ServiceProcess {
    const isRole = RoleName.options.some((role) => name.startsWith(`${role}-`));
    const process = this.shape === "control" && isRole ? name.replace(/^[a-z]+/, "control") : name;
    const child = this.children.find((one) => one.name === process);
    if (child === undefined) {
      throw new Error(`There is no ${name}; there are ${this.children.map((one) => one.name).join(", ")}`);
    }
    return child;
  }

  async spawnService(
    service: ProcessName,
    env: Readonly<Record<string, string>> = {},
    main?: string,
  ): Promise<ServiceProcess> {
    const number = this.children.filter((child) => child.service === service).length + 1;
    const own: Record<string, string> = {};
    if (service === "agent-host") own.GREENROOM_HOST_ID = `host-${number}`;
    if (service === "control") own.GREENROOM_ROLES = this.#rolesOf(1).join();
    if (service === "gateway" && env.GREENROOM_PORT === undefined)
      own.GREENROOM_PORT = String(await freePort());
    const child = new ServiceProcess(service, `${service}-${number}`, { ...this.#env, ...own, ...env }, main);
    this.children.push(child);
    await child.running();
    return child;
  }

  post(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#fetch(this.url, path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#fetch(this.url, path, { headers });
  }

  async stop(): Promise<void> {
    const stopMs = this.#options.stopMs ?? 15_000;
    const failures: unknown[] = [];
    const stopAll = async (...services: ProcessName[]) => {
      const stopping = this.children.filter((child) => services.includes(child.service) && !child.hasEnded);
      for (const result of await Promise.allSettled(stopping.map((child) => child.stop(stopMs)))) {
        if (result.status === "rejected") failures.push(result.reason);
      }
    };
    await stopAll("gateway", "agent-host");
    await stopAll("control", ...RoleName.options);
    // The children of an ended service need a moment to notice its end.
    await until(() => this.leftovers().length === 0, { timeoutMs: 30_000, what: "nothing is left" }).catch(
      () => {
        const left = this.leftovers();
        for (const pid of left) process.kill(pid, "SIGKILL");
        failures.push(new Error(`The stack left the processes ${left.join(", ")} behind`));
      },
    );
    await this.livekit?.stop();
    if (this.#options.nats === undefined) await this.nats.stop();
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("\n"));
  }

  leftovers(): number[] {
    const groups = new Set(this.children.map((child) => child.pid));
    return [...new Set([...membersOfGroups(groups), ...pidsWithEnvironment(MARK, this.#mark)])];
  }

  #textOf(service: ProcessName): string {
    const texts = this.children.filter((child) => child.service === service).map((child) => child.text());
    return texts.join("\n");
  }

  async #fetch(url: string, path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(60_000) });
    const text = await response.text();
    const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && text !== "" ? JSON.parse(text) : text,
    };
  }
}
