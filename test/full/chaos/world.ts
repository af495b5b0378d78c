// The world of a chaos run: three NATS nodes, a LiveKit, and two processes of each service behind their own proxies.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../cli/servers/ports.ts";
import type { Shape } from "../../../cli/supervisor/local-services.ts";
import { membersOfGroups, pidsWithEnvironment } from "../../../cli/supervisor/processes.ts";
import { type ProcessName, RoleName } from "../../../libs/contracts/fleet/pool.ts";
import { DEFAULT_TENANT } from "../../../libs/contracts/ids.ts";
import { forkRandom, integerBetween } from "../../kit/random.ts";
import { whyNoLoopDisk } from "../../kit/servers/loop-disk.ts";
import { type NatsCluster, startNatsCluster } from "../../kit/servers/nats-cluster.ts";
import { startLiveKit, type TestLiveKit } from "../../kit/servers/servers.ts";
import { agentsDir, removeAgentsDirs } from "../../kit/stack/agents-dir.ts";
import { until } from "../../kit/until.ts";
import { makeSmallDisk, type SmallDisk } from "./full-disk.ts";
import { Links } from "./links.ts";
import { createShiftedClocks, type ShiftedClocks } from "./shifted-clock.ts";
import { Supervised } from "./supervised.ts";

/** Marks every process of the run. Children inherit the variable, so that agent processes are found too. */
const MARK = "CHAOS_RUN";
const INHERITED = ["PATH", "HOME", "LANG", "TMPDIR", "NODE_EXTRA_CA_CERTS"];
const SHAPES: Readonly<Record<Shape, readonly ProcessName[]>> = {
  control: ["gateway", "agent-host", "control"],
  roles: ["gateway", "agent-host", ...RoleName.options],
};
/** A gateway for another tenant. All other services serve both tenants. */
const OTHER_GATEWAY = "gateway-3";
export const OTHER_TENANT = "other";
const START_MS = 120_000;
/** Large enough for a run of ten minutes, and quickly filled. */
const DISK_MB = 192;

/** Deadlines short enough for a run to wait for. */
const SETTINGS = {
  GREENROOM_REPLICAS: "3",
  // The checks read the host's debug lines.
  GREENROOM_LOG_LEVEL: "debug",
  GREENROOM_QUEUE_DEADLINE_MS: "15000",
  GREENROOM_JOIN_DEADLINE_MS: "8000",
  GREENROOM_COLD_START_GRACE_MS: "8000",
  GREENROOM_READY_DEADLINE_MS: "8000",
  GREENROOM_USER_JOIN_TIMEOUT_MS: "20000",
  GREENROOM_MAX_DURATION_MS: "120000",
  GREENROOM_USER_REJOIN_GRACE_MS: "1000",
  GREENROOM_SWEEP_MS: "2000",
  GREENROOM_DRAIN_TIMEOUT_MS: "1000",
  GREENROOM_MAX_QUEUE_LENGTH: "1000",
  GREENROOM_RATE_LIMIT: "0",
  GREENROOM_TASK_PROVIDER: "pool",
  GREENROOM_TASK_RATE: "50",
  GREENROOM_VAPI_POLL_MS: "500",
  GREENROOM_REPORT_WAIT_MS: "3000",
  KPI_ROLLUP_INTERVAL_MS: "2000",
};

export interface WorldOptions {
  readonly seed: number;
  /** Whether all roles run in one process, or each in its own. */
  readonly shape: Shape;
  /** The settings of the telephone provider. */
  readonly phones: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
  readonly onLine: (process: string, line: string) => void;
  readonly onOwnEnd: (process: string, exitCode: number) => void;
}

export class World {
  readonly cluster: NatsCluster;
  readonly livekit: TestLiveKit;
  readonly services: readonly Supervised[];
  /** The gateways of each tenant. */
  readonly gatewayUrls: Readonly<Record<string, readonly string[]>>;
  readonly clocks: ShiftedClocks;
  /** The disk of the last NATS node, undefined if the machine can't mount one. */
  readonly disk: SmallDisk | undefined;
  readonly #links: ReadonlyMap<string, Links>;
  readonly #mark: string;
  readonly #dir: string;

  constructor(parts: Parts, services: readonly Supervised[], gatewayUrls: World["gatewayUrls"]) {
    this.cluster = parts.cluster;
    this.livekit = parts.livekit;
    this.clocks = parts.clocks;
    this.disk = parts.disk;
    this.#links = parts.links;
    this.#mark = parts.mark;
    this.#dir = parts.dir;
    this.services = services;
    this.gatewayUrls = gatewayUrls;
  }

  service(name: string): Supervised {
    return this.services.find((one) => one.name === name)!;
  }

  linksOf(name: string): Links {
    return this.#links.get(name)!;
  }

  /** Ends all faults, and waits until everything works. */
  async heal(): Promise<void> {
    for (const service of this.services) service.signal("SIGCONT", "group");
    for (const links of this.#links.values()) links.heal();
    this.clocks.heal();
    this.disk?.free();
    for (const node of this.cluster.nodes) {
      node.resume();
      if (node.hasEnded) await node.restart();
    }
    process.kill(this.livekit.pid, "SIGCONT");
    await this.cluster.healed();
    await Promise.all(this.services.map((service) => service.running(START_MS)));
  }

  /** Running processes of the run that belong to no child, such as an agent process that outlived its host. */
  orphans(): number[] {
    const groups = new Set(this.services.flatMap(({ pid }) => pid ?? []));
    const owned = new Set(membersOfGroups(groups));
    return pidsWithEnvironment(MARK, this.#mark).filter((pid) => !owned.has(pid));
  }

  /** Running processes of the run, including its services. */
  processes(): number[] {
    return pidsWithEnvironment(MARK, this.#mark);
  }

  /** Kills everything when the run ends at once, because a stopped process doesn't notice its parent's end. */
  readonly killAll = (): void => {
    for (const pid of this.processes()) process.kill(pid, "SIGKILL");
  };

  /** Stops everything. @returns the processes that had to be killed, as text */
  async stop(): Promise<string[]> {
    const forced: string[] = [];
    const end = async (...kinds: ProcessName[]) => {
      const ending = this.services.filter(({ service }) => kinds.includes(service));
      await Promise.all(
        ending.map(async (service) => {
          if (await service.end()) forced.push(`${service.name} had to be killed at the end`);
        }),
      );
    };
    await end("gateway", "tasks", "handoffs", "agent-host");
    await end("providers", "calls", "webhooks", "privacy");
    await end("dispatcher", "janitor", "control");
    await until(() => this.processes().length === 0, { timeoutMs: 5000, what: "nothing is left" }).catch(
      () => {
        for (const pid of this.processes()) {
          forced.push(`the process ${pid} was left at the end`);
          process.kill(pid, "SIGKILL");
        }
      },
    );
    await Promise.all([...this.#links.values()].map((links) => links.close()));
    await this.livekit.stop();
    await this.cluster.stop();
    await this.disk?.remove();
    await rm(this.#dir, { recursive: true, force: true });
    process.off("exit", this.killAll);
    removeAgentsDirs();
    return forced;
  }
}

interface Parts {
  readonly cluster: NatsCluster;
  readonly livekit: TestLiveKit;
  readonly clocks: ShiftedClocks;
  readonly disk: SmallDisk | undefined;
  readonly links: ReadonlyMap<string, Links>;
  readonly mark: string;
  readonly dir: string;
  /** The folder of agent files. */
  readonly agents: string;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), "greenroom-chaos-"));
  const whyNoDisk = await whyNoLoopDisk();
  if (whyNoDisk !== undefined) options.log(`this run has no full disk: ${whyNoDisk}`);
  const disk = whyNoDisk === undefined ? await makeSmallDisk(DISK_MB) : undefined;
  const gatewayPorts = [await freePort(), await freePort(), await freePort()];
  const dirOf = (index: number) => (index === 2 && disk !== undefined ? disk.dir : undefined);
  const cluster = await startNatsCluster({ dirOf, isSecretive: true });
  const livekit = await startLiveKit({
    webhookUrl: `http://127.0.0.1:${gatewayPorts[0]}/api/livekit/webhook`,
  });
  const names = [...SHAPES[options.shape].flatMap((kind) => [`${kind}-1`, `${kind}-2`]), OTHER_GATEWAY];
  const natsPorts = cluster.nodes.map(({ port }) => port);
  const opened = names.map(async (name): Promise<[string, Links]> => {
    return [name, await Links.open({ natsPorts, livekitPort: livekit.port })];
  });
  const parts: Parts = {
    cluster,
    livekit,
    disk,
    dir,
    agents: agentsDir("heard"),
    clocks: createShiftedClocks(dir),
    links: new Map(await Promise.all(opened)),
    mark: randomBytes(8).toString("hex"),
  };
  const services = names.map((name) => supervise(name, parts, gatewayPorts, options));
  const [first, second, other] = gatewayPorts.map((port) => `http://127.0.0.1:${port}`) as [
    string,
    string,
    string,
  ];
  const gatewayUrls = { [DEFAULT_TENANT]: [first, second], [OTHER_TENANT]: [other] };
  const world = new World(parts, services, gatewayUrls);
  process.once("exit", world.killAll);
  try {
    for (const service of services) service.start();
    await Promise.all(services.map((service) => service.running(START_MS)));
  } catch (error) {
    await world.stop();
    throw error;
  }
  return world;
}

function supervise(
  name: string,
  parts: Parts,
  gatewayPorts: readonly number[],
  { seed, phones, onLine, onOwnEnd }: WorldOptions,
): Supervised {
  const random = forkRandom(seed, name);
  const number = Number(name.at(-1));
  const service = name.slice(0, -2) as ProcessName;
  const links = parts.links.get(name)!;
  return new Supervised({
    service,
    name,
    pauseMs: () => integerBetween(random, 500, 2000),
    onLine: (line) => onLine(name, line),
    onOwnEnd: (exitCode) => onOwnEnd(name, exitCode),
    env: {
      ...Object.fromEntries(INHERITED.map((variable) => [variable, process.env[variable]])),
      ...parts.clocks.envOf(name),
      ...SETTINGS,
      ...phones,
      ...(name === OTHER_GATEWAY ? { GREENROOM_TENANT: OTHER_TENANT } : {}),
      [MARK]: parts.mark,
      NATS_URL: links.natsUrl,
      LIVEKIT_URL: links.livekitUrl,
      LIVEKIT_API_KEY: parts.livekit.apiKey,
      LIVEKIT_API_SECRET: parts.livekit.apiSecret,
      // Users connect to LiveKit directly, so only faults of LiveKit itself affect them.
      LIVEKIT_PUBLIC_URL: parts.livekit.url,
      ...(service === "gateway" ? { GREENROOM_PORT: String(gatewayPorts[number - 1]) } : {}),
      ...(service === "agent-host"
        ? { GREENROOM_HOST_ID: `host-${number}`, GREENROOM_AGENTS_DIR: parts.agents }
        : {}),
    },
  });
}
