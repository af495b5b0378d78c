// HTTP requests and answers about the fleet: health, pools, hosts, dead letters.
import { z } from "zod";
import { AgentVersion, HostId, ProfileName } from "../ids.ts";
import { ProviderName } from "../providers/provider.ts";
import { HostRecord, OnDeadline, ProfileStatus } from "./host.ts";
import { Canary, PoolTarget } from "./pool.ts";

const count = z.int();

const versions = z
  .array(AgentVersion)
  .describe("Versions of the agent code that the hosts give to new sessions, sorted.");

export const ServiceHealth = z
  .object({
    status: z.enum(["running", "disabled", "stopped", "failed"]),
    instances: count,
    reason: z.string().optional(),
  })
  .meta({ id: "ServiceHealth" });
export type ServiceHealth = z.infer<typeof ServiceHealth>;

export const ProfileHealth = z
  .object({
    provider: ProviderName.optional().describe("Provider of the agents. Absent: the hosts."),
    status: z
      .enum([...ProfileStatus.options, "loading", "unknown"])
      .describe("`unknown`: no session has shown lately whether the provider has agents."),
    loadingForMs: z.number().optional().describe("Time in ms for which a host has been loading the file."),
    error: z.string().optional(),
    reason: z.string().optional().describe("Why the status is unknown, and how to learn it."),
    versions: versions.optional(),
    warm: count,
    hot: count,
    warming: count,
    busy: count,
    max: count.describe("0 for other providers, because only they know how many agents they have."),
  })
  .meta({ id: "ProfileHealth" });
export type ProfileHealth = z.infer<typeof ProfileHealth>;

export const HealthStatus = z.enum(["healthy", "degraded", "unhealthy"]);
export type HealthStatus = z.infer<typeof HealthStatus>;

export const HealthAnswer = z
  .object({
    success: z.literal(true),
    status: HealthStatus,
    sessions: z.object({
      ready: count,
      starting: count,
      pool: count.describe("Idle agents, warm and hot."),
      total: count,
    }),
    stats: z.object({ totalSpawned: count, totalAssigned: count, totalLost: count }),
    capacity: z.object({ current: count, max: count, available: count }),
    services: z.object({
      nats: ServiceHealth,
      livekit: ServiceHealth,
      gateway: ServiceHealth,
      "agent-host": ServiceHealth,
      dispatcher: ServiceHealth,
      janitor: ServiceHealth,
      providers: ServiceHealth,
      handoffs: ServiceHealth,
      tasks: ServiceHealth,
      calls: ServiceHealth,
      webhooks: ServiceHealth,
      privacy: ServiceHealth,
    }),
    profiles: z.record(z.string(), ProfileHealth),
    defaultProfile: z.string().nullable().describe("Profile of a start without `profile`."),
  })
  .meta({ id: "Health" });
export type HealthAnswer = z.infer<typeof HealthAnswer>;

export const ResizeRequest = z
  .strictObject({
    size: z.int().min(0).max(10_000).describe("Idle agents to keep ready, in the whole fleet."),
    profile: ProfileName.optional(),
    hot: z.int().min(0).max(10_000).optional().describe("Number of idle agents to keep hot."),
  })
  .meta({ id: "ResizeRequest" });

export const CanaryRequest = z
  .strictObject({
    version: AgentVersion.describe(
      "Version of the agent code. `GET /api/hosts` shows the versions of the hosts.",
    ),
    share: Canary.shape.share.describe("Share of the new sessions that prefer this version, 0 to 1."),
  })
  .meta({ id: "CanaryRequest" });

export const CanaryParams = z.strictObject({ profile: ProfileName });

export const PoolState = z
  .object({
    profile: z.string(),
    target: PoolTarget.omit({ profile: true })
      .nullable()
      .describe("Null until a host has published the pool settings of the profile."),
    present: z.object({ warm: count, hot: count, warming: count, busy: count }),
    hosts: count.describe("Hosts that run the profile."),
    versions,
    loadingForMs: z.number().optional().describe("Time in ms for which a host has been loading the file."),
  })
  .meta({ id: "Pool" });
export type PoolState = z.infer<typeof PoolState>;

export const PoolsAnswer = z
  .object({ success: z.literal(true), pools: z.array(PoolState) })
  .meta({ id: "Pools" });
export const PoolAnswer = z
  .object({ success: z.literal(true), pool: PoolState, message: z.string() })
  .meta({ id: "PoolAnswer" });

export const DrainRequest = z
  .strictObject({
    deadlineS: z
      .number()
      .min(0)
      .max(86_400)
      .describe("Maximum time in s for which running sessions may continue."),
    onDeadline: OnDeadline.default("migrate").describe(
      "Treatment of the remaining sessions at the deadline: migrate them to other hosts, or wait for them.",
    ),
  })
  .meta({ id: "DrainRequest" });

export const DrainStateAnswer = z
  .object({
    success: z.literal(true),
    host: HostId,
    draining: z.boolean(),
    sessions: count.describe("Sessions that the host still serves."),
    message: z.string(),
  })
  .meta({ id: "DrainState" });

export const HostsAnswer = z
  .object({ success: z.literal(true), hosts: z.array(HostRecord) })
  .meta({ id: "Hosts" });

export const DeadLettersQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(64).optional().describe("`nextCursor` of the previous page."),
});

export const DeadLettersAnswer = z
  .object({
    success: z.literal(true),
    deadLetters: z.array(
      z.object({
        id: z.number().int().describe("Sequence number in the stream DEAD_LETTERS."),
        at: z.string(),
        subject: z.string(),
        reason: z.string(),
        deliveries: z.number().int(),
        payload: z.string().describe("The first 1,000 characters of the payload."),
      }),
    ),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: "DeadLetters" });
