// Runs a whole Greenroom on one machine until it is stopped.
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import { type ProcessName, RoleName } from "../../libs/contracts/fleet/pool.ts";
import { type BackOff, defaultBackOff } from "../../libs/runtime/back-off.ts";
import { ConfigError } from "../../libs/runtime/config.ts";
import { createLog, type Log } from "../../libs/runtime/log.ts";
import { BinaryError } from "../servers/binaries.ts";
import { startLiveKit } from "../servers/start-livekit.ts";
import { startNats } from "../servers/start-nats.ts";
import { bannerText, curlOf, type Health, waitUntilReady } from "./banner.ts";
import type { ChildName } from "./child.ts";
import { type LocalConfig, readLocalConfig } from "./config.ts";
import { forkService } from "./fork-service.ts";
import { gatewayPorts } from "./gateway-ports.ts";
import type { LocalService } from "./local-services.ts";
import { LockedError, lockDirectory } from "./lock.ts";
import { createLineLogger, type LogRecord } from "./log-lines.ts";
import { PidFiles } from "./pid-files.ts";
import { createFormat } from "./pretty.ts";
import { receiptKey } from "./receipt-key.ts";
import { StartError } from "./start-error.ts";
import { onLauncherGone, onStopSignals } from "./stop-signals.ts";
import { publishSupervision, Supervisor } from "./supervisor.ts";

export interface LocalOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly services: readonly LocalService[];
  /** Number of nats-servers: 1, or the nodes of a cluster. */
  readonly natsNodes?: number;
  /** Preferred ports. Further processes of a kind get the next ones. */
  readonly ports: { readonly nats: number; readonly livekit: number };
  readonly backOff?: BackOff;
  /** Called on a terminal, with the address of the first gateway, once everything runs. */
  readonly onReady?: (apiUrl: string) => void;
}

/** NATS stops last, because services need it to stop in order. */
const STOP_ORDER: readonly (readonly ChildName[])[] = [
  ["gateway"],
  ["agent-host"],
  ["control", ...RoleName.options],
  ["livekit"],
  ["nats"],
];
/** Agents whose host died leave their rooms in this time, so that LiveKit knows immediately that they are gone. */
const ORPHANED_AGENTS_MS = 1500;
/** Services stop within 10 s; the agent-host and the providers service after their drain. */
const SERVICE_STOP_MS = 15_000;
/** A gateway holds no state, and stops first. The agents need the rest of the time. */
const GATEWAY_STOP_MS = 1000;
/** A control process stops its dispatcher last, after providers among others. */
const CONTROL_STOP_MS = 10_000 + SERVICE_STOP_MS;
const ORPHAN_GRACE_MS = 5000;
const FIRST_AGENT_MS = 60_000;
/** Everything has stopped or is killed in this time after a drain, so a stop takes less than 10 s by default. */
const STOP_MS = 4000;
const REPORT_MS = 1000;

/** Ends the process with 0 after a stop, 78 for invalid settings, and 1 for other failures. */
export async function runLocal(options: LocalOptions): Promise<void> {
  process.title = "greenroom";
  const isPretty = process.stdout.isTTY === true;
  const format = createFormat({ isPretty, hasColor: isPretty && options.env.NO_COLOR === undefined });
  const write = (record: LogRecord) => void process.stdout.write(format(record));
  // Losing the terminal or pipe must not end the supervisor before its children.
  process.stdout.on("error", () => {});
  const level = options.env.GREENROOM_LOG_LEVEL as LocalConfig["GREENROOM_LOG_LEVEL"] | undefined;
  let log = createLog("greenroom", "info", { write: (line) => write(JSON.parse(line)) });
  try {
    const config = readLocalConfig(options.env);
    log = createLog("greenroom", level ?? "info", { write: (line) => write(JSON.parse(line)) });
    await new LocalRun(options, config, log, write, isPretty).run();
  } catch (error) {
    if (error instanceof ConfigError) log.fatal(error.message);
    else if (isOperatorError(error)) log.fatal(messageOf(error));
    else log.fatal({ error }, "failed to start");
    process.exit(error instanceof ConfigError ? 78 : 1);
  }
}

const isOperatorError = (error: unknown): boolean =>
  error instanceof StartError || error instanceof LockedError || error instanceof BinaryError;

class LocalRun {
  readonly #options: LocalOptions;
  readonly #config: LocalConfig;
  readonly #log: Log;
  readonly #write: (record: LogRecord) => void;
  readonly #isPretty: boolean;
  readonly #dataDir: string;
  #isStopping = false;
  #metricsPorts = 0;
  #stopPublishing: () => Promise<void> = async () => {};

  constructor(
    options: LocalOptions,
    config: LocalConfig,
    log: Log,
    write: (record: LogRecord) => void,
    isPretty: boolean,
  ) {
    this.#options = options;
    this.#config = config;
    this.#log = log;
    this.#write = write;
    this.#isPretty = isPretty;
    this.#dataDir = resolve(config.GREENROOM_DATA_DIR);
  }

  async run(): Promise<void> {
    mkdirSync(this.#dataDir, { recursive: true });
    process.on("exit", lockDirectory(this.#dataDir));
    const pidFiles = new PidFiles(join(this.#dataDir, "run"));
    await this.#endOrphans(pidFiles);
    const gateways = this.#options.services.find(({ name }) => name === "gateway")?.count ?? 1;
    const ports = await gatewayPorts(this.#config, gateways, this.#log);

    const supervisor = new Supervisor({
      log: this.#log,
      logLine: createLineLogger(this.#write, this.#config.GREENROOM_LOG_LEVEL),
      pidFiles,
      backOff: this.#options.backOff ?? defaultBackOff,
      stopOrder: STOP_ORDER,
    });
    // Kills the children whenever this process ends, also after a bug.
    process.on("exit", () => supervisor.killAll());
    onStopSignals(this.#log, () => void this.#stop(supervisor));
    onLauncherGone(() => {
      this.#log.info("npm has ended; stopping");
      void this.#stop(supervisor);
    });

    const apiUrls = ports.map((port) => `http://${hostFor(this.#config.GREENROOM_BIND)}:${port}`);
    const { settings, natsRunning } = await this.#startServers(supervisor, ports[0]!);
    const servers = { ...settings, ...(await receiptKey(this.#options.env, this.#dataDir)) };
    if (this.#isStopping) return;
    const later = (wanted: boolean) =>
      this.#options.services.filter(({ isLater = false }) => isLater === wanted);
    this.#startServices(supervisor, later(false), servers, ports);
    await this.#orStop(supervisor, () => natsRunning);
    if (this.#isStopping) return;
    const natsUrl = servers.NATS_URL ?? "";
    this.#stopPublishing = publishSupervision(
      supervisor,
      natsUrl,
      this.#config.GREENROOM_REPLICAS,
      this.#log,
    );

    const health = await waitUntilReady(apiUrls[0]!, FIRST_AGENT_MS, () => this.#isStopping);
    if (this.#isStopping) return;
    this.#startServices(supervisor, later(true), servers, ports);
    this.#showBanner(apiUrls, natsUrl, servers.LIVEKIT_URL, health);
  }

  async #endOrphans(pidFiles: PidFiles): Promise<void> {
    const orphans = pidFiles.orphans();
    if (orphans.length > 0) {
      const names = orphans.map(({ name, pid }) => `${name} (${pid})`).join(", ");
      this.#log.warn(`a previous run was killed and left ${names}; ending them first`);
    }
    await pidFiles.endOrphans(ORPHAN_GRACE_MS);
  }

  async #startServers(supervisor: Supervisor, gatewayPort: number) {
    const { env, ports, natsNodes = 1 } = this.#options;
    const isStopping = () => this.#isStopping;
    const deps = {
      config: this.#config,
      env,
      dataDir: this.#dataDir,
      log: this.#log,
      supervisor,
      isStopping,
    };
    const webhookUrl = `http://${hostFor(this.#config.GREENROOM_BIND, "127.0.0.1")}:${gatewayPort}/api/livekit/webhook`;
    return await this.#orStop(supervisor, async () => {
      const nats = await startNats(deps, { nodes: natsNodes, port: ports.nats });
      if (this.#isStopping) return { settings: nats.settings, natsRunning: nats.running };
      // The first start may build LiveKit for minutes. A failure of NATS is reported before that.
      const natsFailed = nats.running.then(() => new Promise<never>(() => {}));
      const livekit = await Promise.race([startLiveKit(deps, ports.livekit, webhookUrl), natsFailed]);
      return { settings: { ...nats.settings, ...livekit }, natsRunning: nats.running };
    });
  }

  async #orStop<T>(supervisor: Supervisor, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.#stopChildren(supervisor);
      throw error;
    }
  }

  #startServices(
    supervisor: Supervisor,
    processes: readonly LocalService[],
    found: Record<string, string>,
    gatewayPorts: readonly number[],
  ): void {
    const drainMs = this.#config.GREENROOM_DRAIN_TIMEOUT_MS;
    const env = { ...this.#options.env, ...found, GREENROOM_DRAIN_TIMEOUT_MS: String(drainMs) };
    for (const { name, main, roles, count = 1 } of processes) {
      const stopMs = stopMsOf(name, drainMs);
      const orphanMs = name === "agent-host" ? ORPHANED_AGENTS_MS : 0;
      for (let number = 1; number <= count; number++) {
        const port = name === "gateway" ? { GREENROOM_PORT: String(gatewayPorts[number - 1]) } : {};
        const own = { ...env, ...ownHostId(env, number, count), ...port, ...this.#metricsPort(name) };
        const instance = count === 1 ? {} : { instance: `${name}-${number}` };
        const services = roles === undefined ? {} : { services: roles };
        const start = () => forkService(main, own);
        supervisor.start({ name, ...instance, ...services, start, stopMs, orphanMs });
      }
    }
  }

  /** The gateway serves metrics on its own port, and each other process needs a separate one. */
  #metricsPort(name: ProcessName): Record<string, string> {
    const first = this.#config.GREENROOM_METRICS_PORT;
    if (first === 0 || name === "gateway") return { GREENROOM_METRICS_PORT: "0" };
    this.#metricsPorts += 1;
    const port = first + this.#metricsPorts - 1;
    return { GREENROOM_METRICS_PORT: String(port <= 65_535 ? port : 0) };
  }

  #showBanner(
    [apiUrl = "", ...moreApiUrls]: readonly string[],
    natsUrl: string,
    livekitUrl: string | undefined,
    health: Health | undefined,
  ): void {
    const isSimulated = this.#config.LIVEKIT_MOCK_MODE;
    const text = bannerText({
      apiUrl,
      moreApiUrls,
      natsUrl,
      livekitUrl: livekitUrl ?? this.#config.LIVEKIT_URL,
      isSimulated,
      dataDir: this.#dataDir,
      health,
    });
    if (this.#isPretty) {
      process.stdout.write(`\n${text}\n\n`);
      if (health !== undefined) this.#options.onReady?.(apiUrl);
    } else this.#log.info({ url: apiUrl, page: `${apiUrl}/`, curl: curlOf(apiUrl) }, text);
  }

  async #stop(supervisor: Supervisor): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    await this.#stopChildren(supervisor);
    this.#log.info("stopped");
    process.exit(0);
  }

  async #stopChildren(supervisor: Supervisor): Promise<void> {
    const report = setInterval(() => {
      const waitingFor = supervisor.stopping();
      if (waitingFor.length > 0) this.#log.info(`stopping; waiting for ${waitingFor.join(", ")}`);
    }, REPORT_MS);
    const limitMs = this.#config.GREENROOM_DRAIN_TIMEOUT_MS + STOP_MS;
    await Promise.all([this.#stopPublishing(), supervisor.stop(limitMs)]);
    clearInterval(report);
  }
}

/** How long a process may take to stop before it is killed, in ms. */
function stopMsOf(name: ProcessName, drainMs: number): number {
  if (name === "gateway") return GATEWAY_STOP_MS;
  if (name === "control") return drainMs + CONTROL_STOP_MS;
  return name === "agent-host" || name === "providers" ? drainMs + SERVICE_STOP_MS : SERVICE_STOP_MS;
}

/** The gateway's host name for clients on this machine. */
function hostFor(bind: string, loopback = "localhost"): string {
  if (["127.0.0.1", "0.0.0.0", "localhost", "::", "::1"].includes(bind)) return loopback;
  return bind.includes(":") ? `[${bind}]` : bind;
}

/** Makes a configured host id unique if there are several hosts. */
function ownHostId(env: NodeJS.ProcessEnv, number: number, count: number): Record<string, string> {
  const host = env.GREENROOM_HOST_ID;
  return host && count > 1 ? { GREENROOM_HOST_ID: `${host}-${number}` } : {};
}
