// What a session is on the wire: its record, and everything that is said about it.
import { z } from "zod";
import { attemptFields, HostId, ProfileName, SessionId, Tenant } from "../ids.ts";
import { ConnectedCall, ProviderName } from "../providers/provider.ts";

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

/** Whose fault an end was. `customer` means the person who asked or their request, not the operator. */
export const Fault = z.enum(["none", "customer", "agent", "provider", "platform"]);
export type Fault = z.infer<typeof Fault>;

/** How warm the agent was that an attempt was given to. */
export const Warmth = z.enum(["hot", "warm", "cold"]);
export type Warmth = z.infer<typeof Warmth>;

const encoder = new TextEncoder();
const bytesOf = (value: unknown): number => encoder.encode(JSON.stringify(value)).length;

/**
 * Metadata a client gives; it reaches the agent as `ctx.job.metadata`. At most 4 KiB as JSON.
 *
 * The size is looked at first: to go through 60 KB piece by piece takes a gateway fifty times as long as to read them.
 */
export const Metadata = z
  .record(z.string(), z.unknown())
  .refine((value) => bytesOf(value) <= 4096, "metadata may be 4,096 bytes of JSON at most")
  .pipe(z.record(z.string(), z.json()));

export const User = z.object({ id: z.string().max(128), name: z.string().max(128) });
export type User = z.infer<typeof User>;

/** How long each state may last, in milliseconds. Data, not timers: the janitor measures, the machine decides. */
export const Deadlines = z.object({
  /** Waiting for capacity. */
  requested: z.number().int().positive(),
  /** From dispatched to joined; a cold start is granted `coldExtra` on top. */
  dispatched: z.number().int().positive(),
  coldExtra: z.number().int().nonnegative(),
  /** From joined to ready. */
  joined: z.number().int().positive(),
  /** The whole conversation. */
  maxDuration: z.number().int().positive(),
  /** Nobody spoke. */
  idle: z.number().int().positive(),
  /** The user never came. */
  userAbsent: z.number().int().positive(),
});
export type Deadlines = z.infer<typeof Deadlines>;

export const HistoryEntry = z.object({
  state: SessionState,
  /** ISO time on the clock of the process that spoke. For people; nothing is decided by it. */
  at: z.string(),
  attempt: z.number().int().positive(),
  host: z.string().optional(),
  reason: z.string().optional(),
});
export type HistoryEntry = z.infer<typeof HistoryEntry>;

/** An attempt that was given up: its agent must be released and must be out of the room. */
export const PreviousAttempt = z.object({
  attempt: z.number().int().positive(),
  host: HostId,
  hostEpoch: z.number().int(),
  room: z.string(),
  identity: z.string(),
  /** It was handed over and not lost: its agent goes on serving until the next one is in the room. */
  keepUntilReplaced: z.literal(true).optional(),
});
export type PreviousAttempt = z.infer<typeof PreviousAttempt>;

export const SessionRecord = z.object({
  v: z.literal(1),
  sessionId: SessionId,
  tenant: Tenant,
  profile: ProfileName,
  /** Who gives the agent; absent: the fleet's own pool. */
  provider: ProviderName.optional(),
  /** The telephone call that the session is made for. */
  call: ConnectedCall.optional(),
  /** Its request's place in the stream. Who waits is served in this order, which no clock has a part in. */
  queueSeq: z.number().int().nonnegative().optional(),
  state: SessionState,
  /** Numbers every try, also one that was declined: it is the fencing token of commands and events. */
  attempt: z.number().int().positive(),
  /** How many attempts failed; `maxAttempts` bounds this, so a declined try costs nothing. */
  failures: z.number().int().nonnegative(),
  maxAttempts: z.number().int().positive(),
  /** How long the next attempt is held back, in ms, counted from when a dispatcher first sees this revision. */
  backoffMs: z.number().int().nonnegative(),
  host: HostId.optional(),
  hostEpoch: z.number().int().optional(),
  /** What the host was chosen for; what it really gave is in `warm`. */
  requestedWarmth: Warmth.optional(),
  warm: Warmth.optional(),
  /** Hosts that declined or failed since the session last found one: not asked again before another was. */
  avoid: z.array(HostId),
  room: z.string(),
  /** True when the client named the room: then a hot agent, which brings its own, cannot serve it. */
  roomIsNamed: z.boolean(),
  /** The agent's identity in the room, once an attempt has one. */
  identity: z.string().optional(),
  user: User,
  metadata: Metadata,
  /** Fingerprint of the request, so that a repeated idempotency key with another request is noticed. */
  requestHash: z.string(),
  endedReason: EndedReason.optional(),
  fault: Fault.optional(),
  /** True from the loss of an agent until the next is ready. */
  recovering: z.boolean(),
  previous: PreviousAttempt.optional(),
  deadlineMs: Deadlines,
  history: z.array(HistoryEntry),
  /** How often an agent became ready; the history forgets its older lines. */
  readyCount: z.number().int().positive().optional(),
  /** Durations in ms, each from one process's monotonic clock. */
  timings: z.object({
    /** From the host's acceptance to the agent's join, and to its ready. */
    joinMs: z.number().optional(),
    readyMs: z.number().optional(),
  }),
  /** Marks the write, so that after a lost answer the writer knows its own. */
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
  room: z.string().optional(),
  requestHash: z.string(),
  provider: ProviderName.optional(),
  call: ConnectedCall.optional(),
  /** A duration in the request's own words wins over the dispatcher's setting. */
  maxDurationMs: z.number().int().positive().optional(),
});
export type Requested = z.infer<typeof Requested>;

/** Everything that is said about sessions, by whoever saw it happen. */
export const SessionEvent = z.discriminatedUnion("type", [
  Requested,
  z.object({
    ...ofSession,
    type: z.literal("end_requested"),
    endedReason: z.enum(["completed", "cancelled"]),
    reason: z.string(),
  }),
  z.object({
    ...byHost,
    type: z.literal("joined"),
    room: z.string(),
    identity: z.string(),
    warm: Warmth,
    tookMs: z.number(),
  }),
  z.object({
    ...byHost,
    type: z.literal("ready"),
    room: z.string(),
    identity: z.string(),
    warm: Warmth,
    tookMs: z.number(),
  }),
  z.object({ ...byHost, type: z.literal("user_left") }),
  z.object({
    ...byHost,
    type: z.literal("agent_ended"),
    reason: z.string(),
    /** Present when the agent's own code failed. */
    error: z.string().optional(),
    /** False for an error that would only happen again. */
    retryable: z.boolean(),
    /** Set when not the agent failed, but the provider that was to give one. */
    cause: z.literal("provider").optional(),
  }),
  /** Its provider found nobody who takes it. Nothing runs, so it waits like any other, and a pause at first. */
  z.object({
    ...byHost,
    type: z.literal("provider_declined"),
    reason: z.string(),
    pauseMs: z.number().int().nonnegative(),
  }),
  /** Its host is to stop and asks that another agent takes over. It serves on until then. */
  z.object({ ...byHost, type: z.literal("migrated"), reason: z.string() }),
  z.object({
    ...ofAttempt,
    type: z.literal("agent_lost"),
    /** Set when it is only lost if it hasn't come further: nobody asked the agent, whose room isn't known yet. */
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
  /** A session that waits should look for a host again. Changes nothing by itself. */
  z.object({ ...ofAttempt, type: z.literal("retry_requested") }),
]);
export type SessionEvent = z.infer<typeof SessionEvent>;
