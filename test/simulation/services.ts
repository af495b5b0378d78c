// Starts each kind of service in a simulated process.
import type { Bus } from "../../libs/bus/bus.ts";
import { DEFAULT_TENANT } from "../../libs/contracts/ids.ts";
import { nameWith, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { startHeartbeat } from "../../libs/fleet/heartbeat.ts";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import { readConfig } from "../../libs/runtime/config.ts";
import { type Log, silentLog } from "../../libs/runtime/log.ts";
import { startAgentHost } from "../../services/agent-host/agent-host.ts";
import type { LaunchProcess } from "../../services/agent-host/pool/supervised-process.ts";
import { startCalls } from "../../services/calls/calls.ts";
import { startDispatcher } from "../../services/dispatcher/dispatcher.ts";
import { gatewaySettings } from "../../services/gateway/config.ts";
import type { Gateway } from "../../services/gateway/context.ts";
import { createContext } from "../../services/gateway/gateway.ts";
import { startJanitor } from "../../services/janitor/janitor.ts";
import type { ProviderDriver } from "../../services/providers/drivers/driver.ts";
import { livekitDriver } from "../../services/providers/drivers/livekit.ts";
import { vapiDriver } from "../../services/providers/drivers/vapi.ts";
import { canDial } from "../../services/providers/launches/dial-guard.ts";
import { startProviders } from "../../services/providers/providers.ts";
import { startTasks } from "../../services/tasks/tasks.ts";
import type { SimClock } from "../kit/sim-clock.ts";
import { type AgentProcessWorld, SimAgentProcess } from "./actors/sim-agent-process.ts";
import type { SimVapi } from "./actors/sim-vapi.ts";
import type { SimDispatches } from "./livekit/sim-agent-dispatch.ts";
import type { Scenario } from "./scenario.ts";
import type { Kind, Life, Running } from "./sim-process.ts";

/** The dependencies of the services of a simulated world. */
export interface ServiceWorld extends AgentProcessWorld {
  readonly clock: SimClock;
  readonly scenario: Scenario;
  /** The running gateways, by name. */
  readonly gateways: Map<string, Gateway>;
  /** The agent processes of each host, by the host's instance. */
  readonly agentProcesses: Map<string, Set<SimAgentProcess>>;
  /** The drain time-out of hosts. */
  readonly drainMs: number;
  outfit(kind: Kind, name: string, life: Life): { bus: Bus; livekit: LiveKit; log: Log; clock: Clock };
  agentProcessLaunch(launch: LaunchProcess): LaunchProcess;
  /** LiveKit's agent dispatch, where the providers service runs. */
  readonly dispatches: SimDispatches;
  /** The phones, where there are tasks. */
  readonly vapi: SimVapi;
  /** Wraps the driver of a provider. */
  provider(provider: ProviderDriver, name: string, life: Life): ProviderDriver;
}

/** A profile that external workers serve. */
export const PROVIDED = "support";
/** A profile with phone calls over VAPI. */
export const PHONE = "phone";
const PROVIDERS = `${PROVIDED}=livekit:support-agent, ${PHONE}=vapi:assistant`;
const VAPI_POLL_MS = 500;
const VAPI_ANSWER_MS = 3000;
const USER_REJOIN_GRACE_MS = 3000;

export async function dispatcherOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, livekit, log, clock } = world.outfit("dispatcher", name, life);
  const { deadlineMs, maxAttempts } = world.scenario;
  const dispatcher = await startDispatcher({
    bus,
    clock,
    log,
    livekit,
    instance: life.instance,
    defaults: { deadlineMs, maxAttempts },
  });
  return { stop: () => dispatcher.stop().then(() => bus.close()) };
}

export async function janitorOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, livekit, log, clock } = world.outfit("janitor", name, life);
  const settings = { sweepMs: 10_000, keepEndedMs: 24 * 60 * 60 * 1000, agentPingTimeoutMs: 300 };
  const janitor = await startJanitor({ bus, clock, log, livekit, settings });
  return { stop: () => janitor.stop().then(() => bus.close()) };
}

export async function providersOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, livekit, log, clock } = world.outfit("providers", name, life);
  const { outside } = world.scenario;
  const provider = livekitDriver({
    clock,
    rooms: livekit.rooms,
    dispatches: world.dispatches.forProcess(name, clock),
    agentNameOf: (profile) => nameWith(parseProviderRules(PROVIDERS), "livekit", profile),
  });
  const providers = await startProviders({
    bus,
    clock,
    log,
    instance: life.instance,
    providers: [provider, ...phonesOf(world, life, bus)].map((one) => world.provider(one, name, life)),
    limits: {
      dispatchTimeoutMs: outside?.dispatchTimeoutMs ?? 0,
      userLeftMs: USER_REJOIN_GRACE_MS,
      observeMs: outside?.observeMs ?? 0,
    },
    ringingWaitMs: 0,
  });
  const stopHeartbeat = startHeartbeat(bus, clock, { service: "providers", instance: life.instance });
  return {
    async stop() {
      await providers.stop();
      stopHeartbeat();
      await bus.close();
    },
  };
}

function phonesOf({ scenario, vapi }: ServiceWorld, { clock }: Life, bus: Bus): ProviderDriver[] {
  if (scenario.calling === undefined) return [];
  return [
    vapiDriver({
      url: "",
      key: "",
      clock,
      assistantOf: (profile) => (profile === PHONE ? "assistant" : undefined),
      numbers: new Map([["any", "number"]]),
      pollMs: VAPI_POLL_MS,
      answerMs: VAPI_ANSWER_MS,
      canDial: (order) => canDial(bus, order),
      api: vapi.forProcess(clock),
    }),
  ];
}

export async function tasksOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, log, clock } = world.outfit("tasks", name, life);
  const perTenant = world.scenario.calling?.perTenant ?? 1;
  const tasks = await startTasks({
    bus,
    clock,
    log,
    instance: life.instance,
    settings: {
      limits: { perTenant, perProvider: () => perTenant, total: 100, callingHours: undefined },
      rate: 50,
      deadlineMs: { attempt: 900_000 },
      providerOf: (profile) => (profile === PHONE ? "vapi" : "pool"),
    },
  });
  return { stop: () => tasks.stop().then(() => bus.close()) };
}

export async function callsOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, log, clock } = world.outfit("calls", name, life);
  const calls = await startCalls({
    bus,
    clock,
    log,
    instance: life.instance,
    settings: {
      reportWaitMs: 1000,
      metricsLookbackDays: 2,
      kpis: true,
      kpiIntervalMs: 2000,
      kpiLookbackDays: 3,
    },
  });
  return { stop: () => calls.stop().then(() => bus.close()) };
}

/** The version of the agent code on a host. A restarted host may have another id, which begins with its name. */
export const versionOn = (host: string): string => (/^host-1(-|$)/.test(host) ? "new" : "old");

export async function hostOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, livekit, log, clock } = world.outfit("agent-host", name, life);
  const { scenario } = world;
  const hostId = scenario.hostsKeepTheirNames ? name : `${name}-${life.number}`;
  const agentProcesses = new Set<SimAgentProcess>();
  world.agentProcesses.set(life.instance, agentProcesses);
  let ids = 0;
  let pids = 0;
  life.whenDead(() => {
    for (const agentProcess of agentProcesses) agentProcess.orphan();
  });
  const host = await startAgentHost({
    bus,
    clock,
    log,
    livekit,
    hostId,
    pid: life.number,
    profiles: scenario.profiles.map((profile) => ({ profile, file: `/agents/${profile}.ts` })),
    launch: world.agentProcessLaunch((start, listener) => {
      pids += 1;
      const clocks = { own: world.clock.forProcess(), host: life.clock };
      const processName = `${life.instance}/${pids}`;
      const agentProcess = new SimAgentProcess(world, processName, pids, start, clocks, listener);
      for (const each of agentProcesses) if (each.isDead) agentProcesses.delete(each);
      agentProcesses.add(agentProcess);
      return agentProcess;
    }),
    newId: () => `${life.instance.replaceAll(".", "-")}-${++ids}`,
    onSupplanted: (reason) => life.quit(reason),
    settings: {
      maxAgents: scenario.maxAgents,
      poolMin: 1,
      processMemoryMb: 1000,
      processPingMs: 1000,
      processTimeoutMs: 3000,
      unhandledRejections: "log",
      readyAfterMs: 5000,
      transcriptDelayMs: 1000,
      isolation: "shared",
      agentsVersion: versionOn(name),
      maxSessionsPerProcess: 1000,
      reloadAgents: false,
      concurrentLoads: Number.POSITIVE_INFINITY,
      prewarmTimeoutMs: 25_000,
      minProcesses: 2,
      failover: { restore: true, message: "" },
      userRejoinGraceMs: USER_REJOIN_GRACE_MS,
      logLevel: "info",
    },
  });
  return { stop: () => host.drain(world.drainMs).then(() => bus.close()) };
}

/** Starts a gateway without HTTP: simulated clients call the functions behind its routes. */
export async function gatewayOf(world: ServiceWorld, name: string, life: Life): Promise<Running> {
  const { bus, livekit, log, clock } = world.outfit("gateway", name, life);
  const hosts = await watchHosts(bus);
  const sessions = await watchSessions(bus, clock);
  const providers = world.scenario.outside === undefined ? {} : { GREENROOM_PROVIDERS: PROVIDERS };
  const config = readConfig(gatewaySettings, { GREENROOM_TENANT: DEFAULT_TENANT, ...providers }, []);
  const gateway = createContext({ bus, clock, log, config, livekit, hosts, sessions, instance: name });
  world.gateways.set(name, gateway);
  const forget = () => {
    if (world.gateways.get(name) === gateway) world.gateways.delete(name);
  };
  life.whenDead(forget);
  return {
    async stop() {
      forget();
      gateway.subscriptions.stop();
      await hosts.stop();
      await sessions.stop();
      await bus.close();
    },
  };
}

/** A log that goes into the trace as remarks, which don't change the digest. */
export function logInto(remark: ((line: string) => void) | undefined): Log {
  if (remark === undefined) return silentLog;
  const line = (level: string) => (fields: unknown, message?: string) =>
    remark(`${level}: ${message ?? ""} ${fieldsText(fields)}`.slice(0, 300));
  const log = {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    fatal: line("fatal"),
    child: () => log,
  };
  return log as unknown as Log;
}

const fieldsText = (fields: unknown): string =>
  typeof fields === "string"
    ? fields
    : JSON.stringify(fields, (_, value) => (value instanceof Error ? (value.stack ?? value.message) : value));
