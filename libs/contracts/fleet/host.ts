// An agent-host's record, and the commands that it accepts.
import { z } from "zod";
import { AgentVersion, attemptFields, HostId, ProfileName, SessionId, Tenant } from "../ids.ts";
import { Metadata, MetadataText, User, Warmth } from "../sessions/session.ts";
import { TextRef } from "../sessions/stored-text.ts";
import { Isolation } from "./pool.ts";

export const ProfileStatus = z.enum(["running", "disabled", "stopped", "failed"]);
export type ProfileStatus = z.infer<typeof ProfileStatus>;

/** One profile on one host. `warm` counts idle agents that are not hot; `max` is this host's share. */
export const HostProfile = z.object({
  status: ProfileStatus,
  /** Unknown until an agent process has loaded the file. */
  isolation: Isolation.optional(),
  /** The `agentName` that the file gives to LiveKit's worker. An alias of the profile. */
  agentName: z.string().optional(),
  /** The version of the code that was loaded last, which new sessions get. */
  version: AgentVersion.optional(),
  /** Set while no process has loaded the file: the time since the first one began, in ms on the host's clock. */
  loadingForMs: z.number().optional(),
  /** The reason for which the profile is disabled or failed, or the latest problem of one that runs. */
  error: z.string().optional(),
  warm: z.number().int(),
  hot: z.number().int(),
  warming: z.number().int(),
  busy: z.number().int(),
  max: z.number().int(),
  /** Median time of this host's recent starts from spawn to warm, in ms. Basis of `estimatedWaitMs`. */
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
  /** Durations in ms on the host's monotonic clock, comparable with limits on any machine (I7). */
  readyForMs: z.number().optional(),
  idleForMs: z.number().optional(),
  /** True once a human participant was in the room. */
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
  /** The KV revision of the host's current registration; 0 until it is known. */
  epoch: z.number().int(),
  pid: z.number().int(),
  startedAt: z.string(),
  /** Accepts no new sessions and lets its present ones end. */
  draining: z.boolean(),
  /** Sessions that the host serves. */
  sessions: z.number().int().default(0),
  /** Busy agents divided by the host's own limit, 0 to 1. */
  load: z.number(),
  maxAgents: z.number().int(),
  /** Grows with each publication in this epoch, so that a late older one can be dropped. */
  sequence: z.number().int(),
  profiles: z.record(ProfileName, HostProfile),
  processes: z.array(AgentProcessStatus),
  /** Counts since the host started. */
  stats: z.object({
    spawned: z.number().int(),
    assigned: z.number().int(),
    lost: z.number().int(),
    /** Promises of agent files that were rejected and that nobody awaited. */
    unhandledRejections: z.number().int().default(0),
  }),
});
export type HostRecord = z.infer<typeof HostRecord>;

/** LiveKit's description of a room, in LiveKit's JSON format. */
export const LiveKitRoom = z.record(z.string(), z.unknown());
export type LiveKitRoom = z.infer<typeof LiveKitRoom>;

export const Assign = z.object({
  ...attemptFields,
  /** The host's epoch in the record. A host with another epoch answers `stale`. */
  epoch: z.number().int(),
  profile: ProfileName,
  requestedWarmth: Warmth,
  /** Absent if a hot agent is requested, since it uses its standby room. */
  room: z.string().optional(),
  /** The room for `ctx.job.room`. */
  liveKitRoom: LiveKitRoom.optional(),
  identity: z.string(),
  /** The agent's room token. Absent if a hot agent is requested, since it is already in its room. */
  token: z.string().optional(),
  user: User,
  metadata: Metadata,
  metadataText: MetadataText.optional(),
  storedMetadata: TextRef.optional(),
  recovering: z.boolean(),
  /** Identity of a phone call's callee in the room. The agent stays silent until the callee answers. */
  callee: z.string().optional(),
});
export type Assign = z.infer<typeof Assign>;

export const AssignAnswer = z.discriminatedUnion("verdict", [
  z.object({ verdict: z.literal("accepted") }),
  /** The host has no agent for the session. It started nothing and will start nothing for this attempt. */
  z.object({ verdict: z.literal("declined"), reason: z.string() }),
  /** The command has another epoch, or the record doesn't name this attempt (any more). */
  z.object({ verdict: z.literal("stale"), reason: z.string() }),
]);
export type AssignAnswer = z.infer<typeof AssignAnswer>;

export const Release = z.object({
  ...attemptFields,
  reason: z.string(),
  /** Answer once the agent has left the room, at most 1 s later, because the room will be deleted. */
  untilLeft: z.boolean().optional(),
});
export type Release = z.infer<typeof Release>;

export const ReleaseAnswer = z.object({ released: z.boolean() });
export type ReleaseAnswer = z.infer<typeof ReleaseAnswer>;

/** The fate of sessions that still run at a drain's deadline. */
export const OnDeadline = z.enum(["migrate", "wait"]);
export type OnDeadline = z.infer<typeof OnDeadline>;

export const Drain = z.object({ deadlineMs: z.number().int().nonnegative(), onDeadline: OnDeadline });
export type Drain = z.infer<typeof Drain>;

export const Undrain = z.object({});

/** The host's state after the command. */
export const DrainAnswer = z.object({ draining: z.boolean(), sessions: z.number().int() });
export type DrainAnswer = z.infer<typeof DrainAnswer>;

export const Ping = z.object({
  /** Makes the host ask LiveKit before it answers. */
  askLiveKit: z.literal(true).optional(),
});
export const Pong = z.object({
  hostId: HostId,
  epoch: z.number().int(),
  sequence: z.number().int(),
  /** Why LiveKit did not answer the host, if the ping made it ask. */
  livekitError: z.string().optional(),
});
export type Pong = z.infer<typeof Pong>;
