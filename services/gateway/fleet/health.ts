// GET /api/health for people and dashboards; /livez and /readyz for orchestrators and load balancers.
import { z } from "zod";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { HealthAnswer, type HealthStatus, type ProfileHealth } from "../../../libs/contracts/fleet/http.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { busyAgents } from "../../../libs/domain/capacity.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import {
  defaultProfile,
  knownProfiles,
  liveHosts,
  loadingForMs,
  profileOn,
  versionsOf,
} from "../sessions/profiles.ts";
import { statusOf } from "../sessions/public-session.ts";
import { providerProfiles } from "./provider-health.ts";
import type { ServiceWatch } from "./service-watch.ts";

const Alive = z.object({ success: z.literal(true) });

export function healthRoutes(app: Routes, gateway: Gateway, services: () => ServiceWatch): void {
  app.get(
    "/api/health",
    {
      schema: {
        summary: "Get the health of all services and profiles",
        description: "Always 200 while the gateway runs. `status` contains the result.",
        tags: ["fleet"],
        response: { 200: HealthAnswer },
      },
    },
    async () => describeHealth(gateway, services()),
  );
  app.get(
    "/livez",
    {
      config: { rateLimit: false },
      schema: { summary: "Check that the process is alive", tags: ["fleet"], response: { 200: Alive } },
    },
    async () => ({ success: true as const }),
  );
  app.get(
    "/readyz",
    {
      config: { rateLimit: false },
      schema: {
        summary: "Check that the gateway can serve requests",
        tags: ["fleet"],
        response: { 200: Alive, 503: ErrorAnswer },
      },
    },
    async () => {
      if (gateway.bus.isConnected()) return { success: true as const };
      throw new GreenroomError("storage_unavailable", "The connection to NATS is lost. Reconnecting.", {
        retryAfterMs: 1000,
      });
    },
  );
}

function describeHealth(gateway: Gateway, watch: ServiceWatch): HealthAnswer {
  const hosts = gateway.hosts.all();
  const live = liveHosts(hosts);
  const services = {
    nats: watch.health("nats"),
    livekit: watch.health("livekit"),
    gateway: watch.health("gateway"),
    "agent-host": watch.health("agent-host"),
    dispatcher: watch.health("dispatcher"),
    janitor: watch.health("janitor"),
    providers: watch.health("providers"),
    handoffs: watch.health("handoffs"),
    tasks: watch.health("tasks"),
    calls: watch.health("calls"),
    webhooks: watch.health("webhooks"),
    privacy: watch.health("privacy"),
  };
  const profiles = {
    ...Object.fromEntries(knownProfiles(hosts).map((name) => [name, profileHealth(hosts, name)])),
    ...providerProfiles(gateway.config.GREENROOM_PROVIDERS, services.providers, gateway.sessions),
  };
  // This gateway answers, so one is running, even if its own heartbeat is lost.
  if (services.gateway.status !== "running") services.gateway = { status: "running", instances: 1 };

  const count = { ready: 0, starting: 0, ended: 0 };
  for (const { record } of gateway.sessions.all()) count[statusOf(record.state)]++;
  const sum = (of: (host: HostRecord) => number, from = hosts) =>
    from.reduce((all, host) => all + of(host), 0);
  const current = sum(busyAgents, live);
  const max = sum((host) => host.maxAgents, live);
  return {
    success: true,
    status: overall(services, Object.values(profiles)),
    sessions: {
      ready: count.ready,
      starting: count.starting,
      pool: sum(
        (host) => Object.values(host.profiles).reduce((idle, { warm, hot }) => idle + warm + hot, 0),
        live,
      ),
      total: count.ready + count.starting,
    },
    stats: {
      totalSpawned: sum((host) => host.stats.spawned),
      totalAssigned: sum((host) => host.stats.assigned),
      totalLost: sum((host) => host.stats.lost),
    },
    capacity: { current, max, available: Math.max(0, max - current) },
    services,
    profiles,
    defaultProfile: defaultProfile(live, gateway.config.GREENROOM_DEFAULT_PROFILE) ?? null,
  };
}

const RANK = ["running", "failed", "disabled", "stopped"] as const;

/** One profile over all hosts: running if it runs on any host, otherwise the most relevant problem. */
function profileHealth(hosts: readonly HostRecord[], name: string): ProfileHealth {
  const states = profileOn(hosts, name);
  const status = RANK.find((rank) => states.some((state) => state.status === rank)) ?? "stopped";
  const loading = status === "stopped" ? loadingForMs(states) : undefined;
  const error = states.find((state) => state.error !== undefined)?.error;
  const sum = (of: "warm" | "hot" | "warming" | "busy" | "max") =>
    states.reduce((all, state) => all + state[of], 0);
  return {
    ...(loading === undefined ? { status } : { status: "loading", loadingForMs: loading }),
    ...(error === undefined ? {} : { error }),
    versions: versionsOf(states),
    warm: sum("warm"),
    hot: sum("hot"),
    warming: sum("warming"),
    busy: sum("busy"),
    max: sum("max"),
  };
}

/** Unhealthy: no session can be served. Degraded: some sessions can't be served, or no janitor is running. */
function overall(services: HealthAnswer["services"], profiles: readonly ProfileHealth[]): HealthStatus {
  const runs = (service: keyof HealthAnswer["services"]) => services[service].status === "running";
  const usesProviders = profiles.some(({ provider }) => provider !== undefined);
  const givesAgents = runs("agent-host") || (usesProviders && runs("providers"));
  const canServe = runs("nats") && runs("dispatcher") && givesAgents && services.livekit.status !== "failed";
  // A provider that nobody has tried lately is no sign of a fault.
  const mayServe = profiles.some(({ status }) => status === "running" || status === "unknown");
  if (!canServe || !mayServe) return "unhealthy";
  const isWhole = runs("livekit") && runs("janitor") && profiles.every(({ status }) => status !== "failed");
  return isWhole ? "healthy" : "degraded";
}
