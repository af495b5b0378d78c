// How many agents of a profile the fleet keeps, and what the processes say of their health.
import { z } from "zod";
import { ProfileName } from "../ids.ts";

/** What an agent file may export as `pool`. Numbers are of the whole fleet, but `perProcess`. */
export const PoolSettings = z.object({
  /** Idle agents kept ready, hot ones included. */
  min: z.number().int().min(0).max(10_000),
  /** How many of those are hot: connected to a standby room already. */
  hot: z.number().int().min(0).max(10_000),
  /** Agents at most, idle and busy together. */
  max: z.number().int().min(0).max(100_000),
  /** Agents in one stage process. */
  perProcess: z.number().int().min(1).max(256),
});
export type PoolSettings = z.infer<typeof PoolSettings>;

export const PoolTarget = PoolSettings.extend({
  profile: ProfileName,
  /** Where the numbers come from: a file's export gives way to what an operator said. */
  source: z.enum(["file", "api"]),
});
export type PoolTarget = z.infer<typeof PoolTarget>;

/** Each runs as a role of the control process, or as a process of its own. */
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

/** The kinds of processes, but for the servers. A control process runs several roles. */
export const processNames = ["gateway", "control", "agent-host", ...RoleName.options] as const;
export type ProcessName = (typeof processNames)[number];

export const ServiceName = z.enum(["gateway", ...RoleName.options, "agent-host", "nats", "livekit"]);
export type ServiceName = z.infer<typeof ServiceName>;

/** The beat of a process; also what a supervisor says of one that it could not keep alive. */
export const ServiceHeartbeat = z.object({
  service: ServiceName,
  instance: z.string(),
  pid: z.number().int(),
  status: z.enum(["running", "disabled", "stopped", "failed"]),
  reason: z.string().optional(),
});
export type ServiceHeartbeat = z.infer<typeof ServiceHeartbeat>;

/** Log lines of one session's agent, several in one message. */
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

/** A message that could not be handled, and why. */
export const DeadLetter = z.object({
  subject: z.string(),
  /** Where it was stored. */
  stream: z.string(),
  sequence: z.number().int(),
  reason: z.string(),
  deliveries: z.number().int(),
  at: z.string(),
  /** The payload as text, cut at 16 KiB. */
  payload: z.string(),
});
export type DeadLetter = z.infer<typeof DeadLetter>;

/** What LiveKit's webhook said: a hint, never the truth. */
export const RoomEvent = z.object({
  event: z.string(),
  room: z.string(),
  identity: z.string().optional(),
  /** How somebody left, by LiveKit's name for it, as CLIENT_INITIATED. */
  reason: z.string().optional(),
});
export type RoomEvent = z.infer<typeof RoomEvent>;

/** What ended in one minute, per tenant and profile; recomputable from the records. */
export const Rollup = z.object({
  tenant: z.string(),
  profile: z.string(),
  /** ISO minute, as 2026-01-31T12:34Z. */
  minute: z.string(),
  sessions: z.number().int(),
  byReason: z.record(z.string(), z.number().int()),
  byWarmth: z.record(z.string(), z.number().int()),
  attempts: z.number().int(),
  startMs: z.object({ p50: z.number(), p95: z.number(), max: z.number() }).optional(),
});
export type Rollup = z.infer<typeof Rollup>;
