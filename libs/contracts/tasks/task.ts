// Outbound tasks: requests, records and events.
import { z } from "zod";
import { ProfileName, SessionId, Tenant, token } from "../ids.ts";
import { CallProgress, PhoneNumber, ProviderName } from "../providers/provider.ts";
import { EndedReason, Metadata } from "../sessions/session.ts";

/** Shorter than a session id, which consists of the task id and the attempt. */
export const TaskId = token("A task id", 56);

/**
 * `queued`: waits for its schedule, a call slot and an agent. `dialing` to `inProgress`: an attempt is in progress. The
 * others are final. `unknown`: the number may or may not have been dialed, so it is never redialed automatically.
 */
export const TaskState = z.enum([
  "queued",
  "dialing",
  "ringing",
  "answered",
  "inProgress",
  "completed",
  "busy",
  "noAnswer",
  "voicemail",
  "failed",
  "canceled",
  "unknown",
]);
export type TaskState = z.infer<typeof TaskState>;

const activeTaskStates = ["dialing", "ringing", "answered", "inProgress"] as const;
export const taskEnds = [
  "completed",
  "busy",
  "noAnswer",
  "voicemail",
  "failed",
  "canceled",
  "unknown",
] as const;
export type TaskEnd = (typeof taskEnds)[number];

export const isActiveTask = (state: TaskState): boolean =>
  activeTaskStates.some((active) => active === state);
export const isTaskEnd = (state: TaskState): state is TaskEnd => taskEnds.some((end) => end === state);

/** How often an attempt that reached nobody is repeated, and the pauses in ms, which double from `initialMs`. */
export const TaskRetry = z
  .strictObject({
    maxAttempts: z.int().min(1).max(3).default(3),
    initialMs: z.int().min(0).max(3_600_000).default(10_000),
    maxMs: z.int().min(0).max(3_600_000).default(60_000),
  })
  .refine(({ initialMs, maxMs }) => initialMs <= maxMs, "initialMs must not exceed maxMs");
export type TaskRetry = z.infer<typeof TaskRetry>;

/** The farthest schedule. The bucket deletes a record that has not changed for 90 days. */
export const SCHEDULE_AHEAD_DAYS_MAX = 60;

/** Fields of a request, the same over HTTP and in messages. */
export const taskFields = {
  to: PhoneNumber.describe("Callee: a number such as +15550100, or a SIP user name."),
  from: PhoneNumber.optional().describe("Number that the callee sees."),
  profile: ProfileName.describe("Kind of agent."),
  provider: ProviderName.optional().describe(
    "Provider of the call. Default: the provider of the profile in GREENROOM_PROVIDERS, otherwise GREENROOM_TASK_PROVIDER.",
  ),
  metadata: Metadata.optional().describe("Passed to the agent as job metadata. At most 4 KiB of JSON."),
  scheduleAt: z.iso
    .datetime({ offset: true })
    .optional()
    .describe("Earliest time of the call, for example 2026-01-31T12:00:00Z."),
  retry: TaskRetry.optional().describe("Default: 3 attempts, 10 s apart, doubling up to 1 min."),
};

/** A request on `tasks.outbound.<tenant>`. Its tenant and its id must match the subject. */
export const TaskRequest = z.strictObject({
  tenant: Tenant,
  ...taskFields,
  /** Requests with the same key create one task. */
  idempotencyKey: z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/, "An idempotency key is 1 to 255 printable ASCII characters")
    .optional(),
  /**
   * The task's id, for requests on `tasks.outbound.<tenant>.<taskId>`. Default: derived from the key, or from the
   * message's stream sequence.
   */
  taskId: TaskId.optional(),
});
export type TaskRequest = z.infer<typeof TaskRequest>;

export const TaskErrorCode = z.enum([
  "busy",
  "no_answer",
  "voicemail",
  "bad_number",
  "call_failed",
  "no_capacity",
  "agent_failed",
  "provider_failed",
  "unknown_profile",
  "lost_after_answer",
  "attempt_limit",
  "unknown_outcome",
  "canceled",
  "expired",
]);
export type TaskErrorCode = z.infer<typeof TaskErrorCode>;

/** Why an attempt or the whole task failed. */
export const TaskError = z.object({
  code: TaskErrorCode,
  message: z.string().max(480),
  /** Whether another attempt may succeed. `retry` decides whether there is one. */
  retryable: z.boolean(),
});
export type TaskError = z.infer<typeof TaskError>;

/** One attempt: one session and at most one call. */
export const TaskAttempt = z.object({
  n: z.number().int().positive(),
  sessionId: SessionId,
  state: TaskState,
  /** ISO times, from the clock of the reporting service. For display only. */
  states: z.array(z.object({ state: TaskState, at: z.string() })),
  /** The session's agent is ready. A phone call may still be unanswered. */
  agentReady: z.literal(true).optional(),
  /** Progress of the phone call, as the provider reported it. */
  call: CallProgress.optional(),
  sipCode: z.number().int().optional(),
  answeredBy: CallProgress.shape.answeredBy,
  error: TaskError.optional(),
  /** The session has ended, so nothing remains to be ended. */
  over: z.literal(true).optional(),
});
export type TaskAttempt = z.infer<typeof TaskAttempt>;

export const TaskRecord = z.object({
  v: z.literal(1),
  taskId: TaskId,
  tenant: Tenant,
  to: PhoneNumber,
  from: PhoneNumber.optional(),
  profile: ProfileName,
  provider: ProviderName,
  metadata: Metadata,
  scheduleAt: z.string().optional(),
  retry: TaskRetry,
  state: TaskState,
  /** The number of the newest attempt, 0 before the first. Only grows; fencing token of commands and events (I4). */
  attempt: z.number().int().nonnegative(),
  /** Failed attempts in this life, limited by `retry.maxAttempts`. An attempt without an agent does not count. */
  failures: z.number().int().nonnegative(),
  /** Starts at 1 and grows with each manual retry. */
  life: z.number().int().positive(),
  /** Delay of the next attempt in ms, from when an instance first sees this revision. */
  backoffMs: z.number().int().nonnegative(),
  deadlineMs: z.object({
    /** One whole attempt, conversation included. */
    attempt: z.number().int().positive(),
  }),
  /** Stream sequence of the request. Waiting tasks are served in this order, which depends on no clock (I7). */
  queueSeq: z.number().int().nonnegative(),
  /** The first attempt and the newest ones. */
  attempts: z.array(TaskAttempt),
  /** Why the task ended, unless it completed. */
  error: TaskError.optional(),
  createdAt: z.string(),
  endedAt: z.string().optional(),
  /** The newest state changes, numbered from 1. Webhook events use these numbers. */
  changes: z
    .array(
      z.object({
        n: z.number().int().positive(),
        state: TaskState,
        attempt: z.number().int().nonnegative(),
        at: z.string(),
      }),
    )
    .optional(),
  /** Fingerprint of the request. Detects a reused idempotency key with a different request. */
  requestHash: z.string(),
  /** Identifies the write. After a lost answer, the writer recognizes its own record by it. */
  writeId: z.string(),
});
export type TaskRecord = z.infer<typeof TaskRecord>;

export const taskKey = (tenant: string, taskId: string): string => `${tenant}.${taskId}`;

const address = { tenant: Tenant, taskId: TaskId, at: z.string() };
const attempt = z.number().int().positive();
/** 0 before the first. */
const attemptOrNone = z.number().int().nonnegative();

/** Everything that happens to tasks. */
export const TaskEvent = z.discriminatedUnion("type", [
  /** The task has a call slot, so its attempt may begin. */
  z.object({ ...address, type: z.literal("slot_granted"), attempt, life: z.number().int().positive() }),
  /** The provider reported progress of the call. `revision` is the launch record's. */
  z.object({
    ...address,
    type: z.literal("call_updated"),
    attempt,
    call: CallProgress,
    revision: z.number().int(),
  }),
  z.object({ ...address, type: z.literal("session_ready"), attempt }),
  z.object({
    ...address,
    type: z.literal("session_ended"),
    attempt,
    endedReason: EndedReason,
    reason: z.string(),
    /** Whether the agent was ready at any time. */
    wasReady: z.boolean(),
    /** False if a retry would fail with the same error. */
    retryable: z.boolean(),
    /** The last progress of the call, read after the session ended. */
    call: CallProgress.optional(),
    /** Set if the launch records prove that nothing was dialed, even if an intent suggested otherwise. */
    notDialed: z.literal(true).optional(),
  }),
  z.object({
    ...address,
    type: z.literal("deadline_exceeded"),
    attempt,
    waitedMs: z.number(),
    call: CallProgress.optional(),
  }),
  /** The task waited for so long that a call is no longer useful. */
  z.object({ ...address, type: z.literal("expired"), attempt: attemptOrNone, reason: z.string() }),
  /** `attempt` is the newest one that the caller saw; the cancellation applies to all. */
  z.object({
    ...address,
    type: z.literal("cancel_requested"),
    attempt: attemptOrNone,
    reason: z.string(),
  }),
  /** Begins a new life, unless the task has left the given one. */
  z.object({
    ...address,
    type: z.literal("retry_requested"),
    attempt: attemptOrNone,
    life: z.number().int().positive(),
  }),
]);
export type TaskEvent = z.infer<typeof TaskEvent>;

/** The right to have one attempt in progress. Without it, nothing is dialed. */
export const CallSlot = z.object({
  tenant: Tenant,
  taskId: TaskId,
  attempt: z.number().int().positive(),
  life: z.number().int().positive(),
  provider: ProviderName,
});
export type CallSlot = z.infer<typeof CallSlot>;

/**
 * All granted call slots, in one record. Granting is one compare-and-set, so any number of processes together never
 * exceed the limits.
 */
export const CallSlots = z.object({
  v: z.literal(1),
  slots: z.array(CallSlot),
  /** Slots that the last write granted. Processes keep the rate limit by waiting after they see it. */
  granted: z.number().int().nonnegative(),
  writeId: z.string(),
});
export type CallSlots = z.infer<typeof CallSlots>;

export const CALL_SLOTS_KEY = "all";
/** Fits into one record with room to spare. */
export const CALL_SLOTS_MAX = 500;
