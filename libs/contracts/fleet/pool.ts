// Pool settings of profiles, and what processes publish about themselves: heartbeats, logs, dead letters, rollups.
import { z } from "zod";
import { AgentVersion, ProfileName } from "../ids.ts";

/** The `pool` export of an agent file. Numbers apply to the whole fleet, except `perProcess`. */
export const PoolSettings = z.object({
  /** Idle agents to keep, hot ones included. */
  min: z.number().int().min(0).max(10_000),
  /** How many of the idle agents are hot: already connected to a standby room. */
  hot: z.number().int().min(0).max(10_000),
  /** Maximum number of agents, idle and busy. */
  max: z.number().int().min(0).max(100_000),
  /** Maximum number of agents in one agent process. */
  perProcess: z.number().int().min(1).max(256),
});
export type PoolSettings = z.infer<typeof PoolSettings>;

/**
 * How agents of one profile are kept apart. `process`: each session has a process of its own. `module`: agents share a
 * process and its packages, and the modules of the project are evaluated for each agent. `shared`: they share these too.
 */
export const Isolation = z.enum(["process", "module", "shared"]);
export type Isolation = z.infer<typeof Isolation>;

/** The share of the new sessions that get this version of the agent code, if a host has it. */
export const Canary = z.object({ version: AgentVersion, share: z.number().min(0).max(1) });
export type Canary = z.infer<typeof Canary>;

export const PoolTarget = PoolSettings.extend({
  profile: ProfileName,
  /** An operator's size through the API overrides the file's export. */
  source: z.enum(["file", "api"]),
  /** Set by an operator. Absent: the version plays no part in the choice of a host. */
  canary: Canary.optional(),
});
export type PoolTarget = z.infer<typeof PoolTarget>;

/** Roles of a control process. Each also runs as a process of its own. */
export const RoleName = z.enum([
  "dispatcher",
  "janitor",
  "providers",
  "handoffs",
  "tasks",
  "calls",
  "webhooks",
  "privacy",
]);
export type RoleName = z.infer<typeof RoleName>;

/** The kinds of Greenroom processes. A control process runs several roles. */
export const processNames = ["gateway", "control", "agent-host", ...RoleName.options] as const;
export type ProcessName = (typeof processNames)[number];

export const ServiceName = z.enum(["gateway", ...RoleName.options, "agent-host", "nats", "livekit"]);
export type ServiceName = z.infer<typeof ServiceName>;

/** A process's heartbeat. A supervisor also publishes one for a process that it could not keep alive. */
export const ServiceHeartbeat = z.object({
  service: ServiceName,
  instance: z.string(),
  pid: z.number().int(),
  status: z.enum(["running", "disabled", "stopped", "failed"]),
  reason: z.string().optional(),
  /** Greenroom's version. Absent from a process of an earlier version. */
  version: z.string().optional(),
});
export type ServiceHeartbeat = z.infer<typeof ServiceHeartbeat>;

/** Log lines of one session's agent, batched. */
export const LogBatch = z.object({
  tenant: z.string(),
  sessionId: z.string(),
  lines: z.array(
    z.object({
      at: z.string(),
      level: z.string(),
      message: z.string(),
      attempt: z.number().int().optional(),
    }),
  ),
});
export type LogBatch = z.infer<typeof LogBatch>;
export type LogLine = LogBatch["lines"][number];

/** A message that no delivery could process, and the reason. */
export const DeadLetter = z.object({
  subject: z.string(),
  /** The stream that the message is from. */
  stream: z.string(),
  sequence: z.number().int(),
  reason: z.string(),
  deliveries: z.number().int(),
  at: z.string(),
  /** The payload as text, truncated to 16 KiB. */
  payload: z.string(),
});
export type DeadLetter = z.infer<typeof DeadLetter>;

/** An event of LiveKit's webhook. Untrusted: it triggers a check and decides nothing. */
export const RoomEvent = z.object({
  event: z.string(),
  room: z.string(),
  identity: z.string().optional(),
  /** Why the participant left, by LiveKit's name, for example CLIENT_INITIATED. */
  reason: z.string().optional(),
});
export type RoomEvent = z.infer<typeof RoomEvent>;

/** Sessions that ended in one minute, by tenant and profile. Can be recomputed from the records. */
export const Rollup = z.object({
  tenant: z.string(),
  profile: z.string(),
  /** The minute in ISO format, for example 2026-01-31T12:34Z. */
  minute: z.string(),
  sessions: z.number().int(),
  byReason: z.record(z.string(), z.number().int()),
  byWarmth: z.record(z.string(), z.number().int()),
  attempts: z.number().int(),
  startMs: z.object({ p50: z.number(), p95: z.number(), max: z.number() }).optional(),
});
export type Rollup = z.infer<typeof Rollup>;
