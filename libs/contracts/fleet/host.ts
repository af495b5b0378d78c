// What an agent-host says of itself, and what it is told.
import { z } from "zod";
import { attemptFields, HostId, ProfileName, SessionId, Tenant } from "../ids.ts";
import { Metadata, User, Warmth } from "../sessions/session.ts";

export const ProfileStatus = z.enum(["running", "disabled", "stopped", "failed"]);
export type ProfileStatus = z.infer<typeof ProfileStatus>;

/** One profile on one host. `warm` counts idle agents that aren't hot; `max` is this host's share. */
export const HostProfile = z.object({
  status: ProfileStatus,
  /** Why it is disabled or failed; the last error of a start. */
  error: z.string().optional(),
  warm: z.number().int(),
  hot: z.number().int(),
  warming: z.number().int(),
  busy: z.number().int(),
  max: z.number().int(),
  /** Median of this host's last starts in ms, from spawn to warm; what an estimate is made of. */
  warmUpMs: z.number().optional(),
});
export type HostProfile = z.infer<typeof HostProfile>;

export const SlotState = z.enum(["warming", "warm", "hot", "busy", "closing"]);
export type SlotState = z.infer<typeof SlotState>;

export const SlotStatus = z.object({
  id: z.string(),
  state: SlotState,
  tenant: Tenant.optional(),
  sessionId: SessionId.optional(),
  attempt: z.number().int().optional(),
  /** Milliseconds on the host's monotonic clock, so that they can be compared with limits anywhere. */
  readyForMs: z.number().optional(),
  idleForMs: z.number().optional(),
  /** Whether any human was ever in the room. */
  userJoined: z.boolean().optional(),
});
export type SlotStatus = z.infer<typeof SlotStatus>;

export const AgentProcessStatus = z.object({
  id: z.string(),
  profile: ProfileName,
  pid: z.number().int().optional(),
  memoryMb: z.number().optional(),
  slots: z.array(SlotStatus),
});
export type AgentProcessStatus = z.infer<typeof AgentProcessStatus>;

export const HostRecord = z.object({
  hostId: HostId,
  /** The KV revision of this life's registration; 0 until it is known. */
  epoch: z.number().int(),
  pid: z.number().int(),
  startedAt: z.string(),
  /** It takes nothing new, and is to be empty. */
  draining: z.boolean(),
  /** Sessions that it serves now. */
  sessions: z.number().int().default(0),
  /** Busy agents over the host's own limit, 0 to 1. */
  load: z.number(),
  maxAgents: z.number().int(),
  /** Counts the announcements of this life: an older one that arrives late is dropped. */
  sequence: z.number().int(),
  profiles: z.record(ProfileName, HostProfile),
  processes: z.array(AgentProcessStatus),
  stats: z.object({ spawned: z.number().int(), assigned: z.number().int(), lost: z.number().int() }),
});
export type HostRecord = z.infer<typeof HostRecord>;

export const Assign = z.object({
  ...attemptFields,
  /** The epoch the record names; a host in another life answers `stale`. */
  epoch: z.number().int(),
  profile: ProfileName,
  requestedWarmth: Warmth,
  /** Absent when a hot agent is asked for, which brings its standby room. */
  room: z.string().optional(),
  identity: z.string(),
  /** The agent's room token; absent with a hot agent, which has been in its room for long. */
  token: z.string().optional(),
  user: User,
  metadata: Metadata,
  recovering: z.boolean(),
  /** Whom a telephone call reaches, by their identity in the room: the agent is silent until they have answered. */
  callee: z.string().optional(),
});
export type Assign = z.infer<typeof Assign>;

export const AssignAnswer = z.discriminatedUnion("verdict", [
  z.object({ verdict: z.literal("accepted") }),
  /** It has no agent for this; nothing was started, and nothing will be for this attempt. */
  z.object({ verdict: z.literal("declined"), reason: z.string() }),
  /** The command is of another life of the host, or the record doesn't name it (any more). */
  z.object({ verdict: z.literal("stale"), reason: z.string() }),
]);
export type AssignAnswer = z.infer<typeof AssignAnswer>;

export const Release = z.object({
  ...attemptFields,
  reason: z.string(),
  /** Answer when the agent has left its room, or a second later: the room is about to be deleted. */
  untilLeft: z.boolean().optional(),
});
export type Release = z.infer<typeof Release>;

export const ReleaseAnswer = z.object({ released: z.boolean() });
export type ReleaseAnswer = z.infer<typeof ReleaseAnswer>;

/** What becomes of the sessions that are left when a drain's time is over. */
export const OnDeadline = z.enum(["handover", "wait"]);
export type OnDeadline = z.infer<typeof OnDeadline>;

export const Drain = z.object({ deadlineMs: z.number().int().nonnegative(), onDeadline: OnDeadline });
export type Drain = z.infer<typeof Drain>;

export const Undrain = z.object({});

/** How the host stands now. */
export const DrainAnswer = z.object({ draining: z.boolean(), sessions: z.number().int() });
export type DrainAnswer = z.infer<typeof DrainAnswer>;

export const Ping = z.object({});
export const Pong = z.object({ hostId: HostId, epoch: z.number().int(), sequence: z.number().int() });
export type Pong = z.infer<typeof Pong>;
