// A session's record, and its events.
import { z } from "zod";
import { AgentVersion, attemptFields, HostId, ProfileName, SessionId, Tenant } from "../ids.ts";
import { ConnectedCall, ProviderName } from "../providers/provider.ts";
import { isDeeperThan } from "../validation.ts";
import { bytesOf, METADATA_BYTES_MAX, TextRefs } from "./stored-text.ts";

export const SessionState = z.enum(["requested", "dispatched", "joined", "ready", "ended"]);
export type SessionState = z.infer<typeof SessionState>;

export const EndedReason = z.enum([
  "completed",
  "cancelled",
  "no_capacity",
  "join_timeout",
  "ready_timeout",
  "agent_lost",
  "agent_error",
  "max_duration",
  "idle",
  "expired",
  "provider_error",
]);
export type EndedReason = z.infer<typeof EndedReason>;

/** The party at fault for an end. `customer`: the caller or its request, not the operator. */
export const Fault = z.enum(["none", "customer", "agent", "provider", "platform"]);
export type Fault = z.infer<typeof Fault>;

/** How warm the agent of an attempt was. */
export const Warmth = z.enum(["hot", "warm", "cold"]);
export type Warmth = z.infer<typeof Warmth>;

/** The most metadata that a record has itself. A record is encoded and sent at each change, and 64 revisions are kept. */
const INLINE_BYTES_MAX = 4096;
/** Deeper than any sensible metadata, and far below the depth at which a recursive check overflows the stack. */
export const METADATA_DEPTH_MAX = 32;

/**
 * Metadata in a record, at most 4 KiB as JSON. The agent reads it from `ctx.job.metadata`.
 *
 * The size is checked first, because validating 60 KB value by value takes a gateway fifty times as long as parsing it.
 */
export const Metadata = z
  .record(z.string(), z.unknown())
  .refine(
    (value) => bytesOf(JSON.stringify(value)) <= INLINE_BYTES_MAX,
    "metadata may be 4,096 bytes of JSON at most",
  )
  .pipe(z.record(z.string(), z.json()));
type Metadata = z.infer<typeof Metadata>;

/** Metadata of any size that LiveKit allows. Not validated value by value: a parsed body is JSON already. */
export const LargeMetadata = z
  .custom<Metadata>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "expected an object",
  )
  .refine(
    (value) => bytesOf(JSON.stringify(value)) <= METADATA_BYTES_MAX,
    "metadata may be 524,288 bytes of JSON at most",
  )
  .meta({ type: "object", additionalProperties: true });

/**
 * Metadata that the client gave as text, which the agent reads from `ctx.job.metadata` as it is. `metadata` has its JSON
 * object. `*` means that the text is no JSON object, and is in the field `metadata.metadata`.
 */
export const MetadataText = z.string();
const METADATA_IS_TEXT = "*";

/** The text of the metadata for an agent. */
export function metadataTextOf(record: { metadata: Metadata; metadataText?: string | undefined }): string {
  const { metadata, metadataText } = record;
  if (metadataText === METADATA_IS_TEXT) return String(metadata.metadata ?? "");
  return metadataText ?? JSON.stringify(metadata);
}

/** Metadata as a request has it. `largeText` is the text for the agent if a record has no space for it. */
export interface JobMetadata {
  readonly metadata: Metadata;
  readonly metadataText?: string;
  readonly largeText?: string;
}

export function jobMetadataOf(metadata: Metadata): JobMetadata {
  const text = JSON.stringify(metadata);
  return bytesOf(text) <= INLINE_BYTES_MAX ? { metadata } : { metadata: {}, largeText: text };
}

/** LiveKit's job metadata is text, usually JSON. The agent gets the text itself. */
export function jobMetadataOfText(text: string): JobMetadata {
  const large = { metadata: {}, largeText: text };
  if (bytesOf(text) > INLINE_BYTES_MAX) return large;
  const metadata = metadataOfText(text);
  const json = JSON.stringify(metadata);
  if (!isJsonObject(text))
    return bytesOf(json) > INLINE_BYTES_MAX ? large : { metadata, metadataText: METADATA_IS_TEXT };
  if (text === json) return { metadata };
  return bytesOf(json) + bytesOf(text) > INLINE_BYTES_MAX ? large : { metadata, metadataText: text };
}

/** The object that a text of metadata is, or an object that has the text as its field `metadata`. */
export const metadataOfText = (text: string): Metadata => jsonObject(text) ?? { metadata: text };

const isJsonObject = (text: string): boolean => jsonObject(text) !== undefined;

function jsonObject(text: string): Metadata | undefined {
  try {
    const json: unknown = JSON.parse(text);
    const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
    return isObject && !isDeeperThan(METADATA_DEPTH_MAX, json) ? (json as Metadata) : undefined;
  } catch {
    return undefined;
  }
}

export const User = z.object({ id: z.string().max(128), name: z.string().max(128) });
export type User = z.infer<typeof User>;

/** The longest time in each state, in ms. Data, not timers: the janitor measures, the machine decides (I6). */
export const Deadlines = z.object({
  /** Waiting for capacity. */
  requested: z.number().int().positive(),
  /** From dispatched to joined. A cold start gets `coldExtra` in addition. */
  dispatched: z.number().int().positive(),
  coldExtra: z.number().int().nonnegative(),
  /** From joined to ready. */
  joined: z.number().int().positive(),
  /** The whole conversation. */
  maxDuration: z.number().int().positive(),
  /** Without speech. */
  idle: z.number().int().positive(),
  /** Without the user in the room. */
  userAbsent: z.number().int().positive(),
});
export type Deadlines = z.infer<typeof Deadlines>;

export const HistoryEntry = z.object({
  state: SessionState,
  /** ISO time, from the clock of the reporting service. For display only; nothing is decided by it. */
  at: z.string(),
  attempt: z.number().int().positive(),
  host: z.string().optional(),
  /** Of the attempt's agent, from `joined` on. */
  version: AgentVersion.optional(),
  reason: z.string().optional(),
});
export type HistoryEntry = z.infer<typeof HistoryEntry>;

/** An abandoned attempt. Its agent must be released and leave the room. */
export const PreviousAttempt = z.object({
  attempt: z.number().int().positive(),
  host: HostId,
  hostEpoch: z.number().int(),
  room: z.string(),
  identity: z.string(),
  /** Set after a migration: the agent serves until the next one is in the room. */
  keepUntilReplaced: z.literal(true).optional(),
});
export type PreviousAttempt = z.infer<typeof PreviousAttempt>;

export const SessionRecord = z.object({
  v: z.literal(1),
  sessionId: SessionId,
  tenant: Tenant,
  profile: ProfileName,
  /** Absent: the fleet's own pool. */
  provider: ProviderName.optional(),
  /** The phone call that the session is created for. */
  call: ConnectedCall.optional(),
  /** Stream sequence of the request. Waiting sessions are served in this order, which depends on no clock (I7). */
  queueSeq: z.number().int().nonnegative().optional(),
  state: SessionState,
  /** The number of the attempt, declined ones included. Fencing token of commands and events (I4). */
  attempt: z.number().int().positive(),
  /** Failed attempts, limited by `maxAttempts`. A declined attempt does not count. */
  failures: z.number().int().nonnegative(),
  maxAttempts: z.number().int().positive(),
  /** Delay of the next attempt in ms, from when a dispatcher first sees this revision. */
  backoffMs: z.number().int().nonnegative(),
  host: HostId.optional(),
  hostEpoch: z.number().int().optional(),
  /** The warmth that the host was chosen for. `warm` is the actual one. */
  requestedWarmth: Warmth.optional(),
  warm: Warmth.optional(),
  /** The version of the agent's code. Absent for agents of other systems. */
  version: AgentVersion.optional(),
  /** Hosts that declined or failed since the session last had one. Excluded until another host accepts. */
  avoid: z.array(HostId),
  room: z.string(),
  /** True if the client named the room. A hot agent can't serve it, because it uses its standby room. */
  roomIsNamed: z.boolean(),
  /** Set if the room is deleted at the end, with the people in it. */
  deleteRoom: z.literal(true).optional(),
  /** The agent's identity in the room, if known. */
  identity: z.string().optional(),
  user: User,
  metadata: Metadata,
  metadataText: MetadataText.optional(),
  stored: TextRefs.optional(),
  /** Fingerprint of the request. Detects a reused idempotency key with a different request. */
  requestHash: z.string(),
  endedReason: EndedReason.optional(),
  fault: Fault.optional(),
  /** Set while the agent waits for its user before it starts. */
  awaitingUser: z.literal(true).optional(),
  /** True from the loss of an agent until the next one is ready. */
  recovering: z.boolean(),
  previous: PreviousAttempt.optional(),
  deadlineMs: Deadlines,
  history: z.array(HistoryEntry),
  /** How often an agent became ready. Kept apart because the history drops old entries. */
  readyCount: z.number().int().positive().optional(),
  /** ISO time on the clock of the dispatcher that received the request. For people; nothing is decided by it. */
  receivedAt: z.string().optional(),
  /** Durations in ms, each measured by one process's monotonic clock. */
  timings: z.object({
    /** From the host's acceptance to the agent's `joined` and `ready`. */
    joinMs: z.number().optional(),
    readyMs: z.number().optional(),
  }),
  /** Identifies the write. After a lost answer, the writer recognizes its own record by it. */
  writeId: z.string(),
});
export type SessionRecord = z.infer<typeof SessionRecord>;

const at = z.string();
const ofSession = { tenant: Tenant, sessionId: SessionId, at };
const ofAttempt = { ...attemptFields, at };
const byHost = { ...ofAttempt, host: HostId, epoch: z.number().int() };

export const Requested = z.object({
  ...ofSession,
  type: z.literal("requested"),
  profile: ProfileName,
  user: User,
  metadata: Metadata,
  metadataText: MetadataText.optional(),
  stored: TextRefs.optional(),
  room: z.string().optional(),
  requestHash: z.string(),
  provider: ProviderName.optional(),
  call: ConnectedCall.optional(),
  deleteRoom: z.literal(true).optional(),
  /** Overrides the dispatcher's setting. */
  maxDurationMs: z.number().int().positive().optional(),
});
export type Requested = z.infer<typeof Requested>;

/** Everything that happens to sessions. Any service may publish these. */
export const SessionEvent = z.discriminatedUnion("type", [
  Requested,
  z.object({
    ...ofSession,
    type: z.literal("end_requested"),
    endedReason: z.enum(["completed", "cancelled"]),
    reason: z.string(),
    deleteRoom: z.literal(true).optional(),
  }),
  z.object({
    ...byHost,
    type: z.literal("joined"),
    room: z.string(),
    identity: z.string(),
    warm: Warmth,
    version: AgentVersion.optional(),
    tookMs: z.number(),
  }),
  z.object({
    ...byHost,
    type: z.literal("ready"),
    room: z.string(),
    identity: z.string(),
    warm: Warmth,
    version: AgentVersion.optional(),
    tookMs: z.number(),
    /** The agent waits for its user before it starts its AgentSession. `agent_started` follows. */
    awaitingUser: z.literal(true).optional(),
  }),
  /** An agent that awaited its user serves it now. */
  z.object({ ...byHost, type: z.literal("agent_started") }),
  z.object({ ...byHost, type: z.literal("user_left") }),
  z.object({
    ...byHost,
    type: z.literal("agent_ended"),
    reason: z.string(),
    /** Present when the agent's own code failed. */
    error: z.string().optional(),
    /** False if a retry would fail with the same error. */
    retryable: z.boolean(),
    /** Set if the provider failed, or the host could not reach LiveKit. Then the agent did not fail. */
    cause: z.enum(["provider", "host"]).optional(),
  }),
  /** The provider found no agent, or the agent file refused. The session waits for another try, after a pause. */
  z.object({
    ...byHost,
    type: z.literal("provider_declined"),
    reason: z.string(),
    pauseMs: z.number().int().nonnegative(),
  }),
  /** The host drains and requests another agent. The present agent serves until then. */
  z.object({ ...byHost, type: z.literal("migrated"), reason: z.string() }),
  z.object({
    ...ofAttempt,
    type: z.literal("agent_lost"),
    /** Set if the loss counts only in this state: the agent's room is not known, so the agent could not be asked. */
    state: z.literal("dispatched").optional(),
    reason: z.string(),
  }),
  z.object({
    ...ofAttempt,
    type: z.literal("deadline_exceeded"),
    state: z.enum(["requested", "dispatched", "joined", "ready"]),
    kind: z.enum(["waiting", "join", "ready", "max_duration", "idle", "user_absent"]),
    waitedMs: z.number(),
    reason: z.string(),
  }),
  /** Makes a waiting session look for a host again. Changes nothing else. */
  z.object({ ...ofAttempt, type: z.literal("retry_requested") }),
]);
export type SessionEvent = z.infer<typeof SessionEvent>;
