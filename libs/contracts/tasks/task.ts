// What an outbound task is on the wire: the request for a call, its record with every attempt, and what is said of it.
import { z } from "zod";
import { ProfileName, SessionId, Tenant, token } from "../ids.ts";
import { CallProgress, PhoneNumber, ProviderName } from "../providers/provider.ts";
import { EndedReason, Metadata } from "../sessions/session.ts";

/** Short enough for a session id to be made of it and the number of an attempt. */
export const TaskId = token("A task id", 56);

/**
 * `queued`: it waits for its time, a line and an agent. `dialing` to `inProgress`: an attempt is under way. The others
 * are ends. `unknown`: it was or wasn't dialled, nobody can tell, and so it is never dialled again by itself.
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

export const isActiveTask = (state: TaskState): boolean => activeTaskStates.some((one) => one === state);
export const isTaskEnd = (state: TaskState): state is TaskEnd => taskEnds.some((one) => one === state);

/** How often, and after which pauses in ms, an attempt that reached nobody is repeated; each pause doubles. */
export const TaskRetry = z
  .strictObject({
    maxAttempts: z.int().min(1).max(3).default(3),
    initialMs: z.int().min(0).max(3_600_000).default(10_000),
    maxMs: z.int().min(0).max(3_600_000).default(60_000),
  })
  .refine(({ initialMs, maxMs }) => initialMs <= maxMs, "initialMs may not be larger than maxMs");
export type TaskRetry = z.infer<typeof TaskRetry>;

/** Later than this nothing may be planned: the store forgets what nobody changed for 90 days. */
export const SCHEDULE_AHEAD_DAYS_MAX = 60;

/** What a task is asked for by, over HTTP and in messages alike. */
export const taskFields = {
  to: PhoneNumber.describe("Whom to call: a number as +15550100, or a SIP user name."),
  from: PhoneNumber.optional().describe("The number that the callee sees."),
  profile: ProfileName.describe("Which kind of agent."),
  provider: ProviderName.optional().describe(
    "Who makes the call. Default: as GREENROOM_PROVIDERS says for the profile, else GREENROOM_TASK_PROVIDER.",
  ),
  metadata: Metadata.optional().describe("Reaches the agent as job metadata. At most 4 KiB as JSON."),
  scheduleAt: z.iso
    .datetime({ offset: true })
    .optional()
    .describe("Not before this time, as 2026-01-31T12:00:00Z."),
  retry: TaskRetry.optional().describe("Default: 3 attempts, 10 s apart, doubling up to 1 min."),
};

/** A task asked for by message on `tasks.outbound.<tenant>`. The tenant must be the subject's, as must an id. */
export const TaskRequest = z.strictObject({
  tenant: Tenant,
  ...taskFields,
  /** Two requests with the same key are one task. */
  idempotencyKey: z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/, "An idempotency key is 1 to 255 printable ASCII characters")
    .optional(),
  /**
   * The id that it gets, on `tasks.outbound.<tenant>.<taskId>`. Without one it is made of the key, or of the message's
   * place in the stream.
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

/** Why an attempt, or the whole task, came to nothing. */
export const TaskError = z.object({
  code: TaskErrorCode,
  message: z.string().max(480),
  /** Whether this kind of error is worth another attempt; whether there was one is for `retry` to say. */
  retryable: z.boolean(),
});
export type TaskError = z.infer<typeof TaskError>;

/** One attempt: one session, and one call at most. */
export const TaskAttempt = z.object({
  n: z.number().int().positive(),
  sessionId: SessionId,
  state: TaskState,
  /** ISO times on the clock of the process that spoke; for people. */
  states: z.array(z.object({ state: TaskState, at: z.string() })),
  /** The session's agent is ready, which for a telephone call isn't yet an answer. */
  agentReady: z.literal(true).optional(),
  /** How the telephone call stands by the provider's word. */
  call: CallProgress.optional(),
  sipCode: z.number().int().optional(),
  answeredBy: CallProgress.shape.answeredBy,
  error: TaskError.optional(),
  /** Its session has ended: nothing of it is left to be ended. */
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
  /** The number of the newest attempt, 0 before the first. It only grows, and fences commands and events. */
  attempt: z.number().int().nonnegative(),
  /** Attempts that failed in this life; `retry.maxAttempts` bounds them. One that found no agent costs none. */
  failures: z.number().int().nonnegative(),
  /** 1, and one more with each retry that a person asked for. */
  life: z.number().int().positive(),
  /** How long the next attempt is held back, in ms, from when an instance first sees this revision. */
  backoffMs: z.number().int().nonnegative(),
  deadlineMs: z.object({
    /** The whole of one attempt, the conversation included. */
    attempt: z.number().int().positive(),
  }),
  /** Its request's place in the stream: who waits is served in this order, which no clock has a part in. */
  queueSeq: z.number().int().nonnegative(),
  /** The newest ones, and always the first. */
  attempts: z.array(TaskAttempt),
  /** Why it ended, when it isn't completed. */
  error: TaskError.optional(),
  createdAt: z.string(),
  endedAt: z.string().optional(),
  /** The newest changes of its state, numbered through from 1: by these numbers it is told to others. */
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
  /** Fingerprint of the request, so that a repeated idempotency key with another request is noticed. */
  requestHash: z.string(),
  /** Marks the write, so that after a lost answer the writer knows its own. */
  writeId: z.string(),
});
export type TaskRecord = z.infer<typeof TaskRecord>;

export const taskKey = (tenant: string, taskId: string): string => `${tenant}.${taskId}`;

const address = { tenant: Tenant, taskId: TaskId, at: z.string() };
const attempt = z.number().int().positive();
/** 0 before the first. */
const attemptOrNone = z.number().int().nonnegative();

/** Everything that is said about tasks, by whoever saw it happen. */
export const TaskEvent = z.discriminatedUnion("type", [
  /** It was given a line: its attempt may begin. */
  z.object({ ...address, type: z.literal("slot_granted"), attempt, life: z.number().int().positive() }),
  /** The provider's word on the telephone call. `revision` is the launch record's. */
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
    /** Whether its agent ever was ready. */
    wasReady: z.boolean(),
    /** False for an error that would only happen again. */
    retryable: z.boolean(),
    /** The provider's last word on the call, read when the session had ended. */
    call: CallProgress.optional(),
    /** Set when the launches say so for sure, whatever an intent made one suspect before. */
    notDialed: z.literal(true).optional(),
  }),
  z.object({
    ...address,
    type: z.literal("deadline_exceeded"),
    attempt,
    waitedMs: z.number(),
    call: CallProgress.optional(),
  }),
  /** It was planned or waited for so long that nobody wants it any more. */
  z.object({ ...address, type: z.literal("expired"), attempt: attemptOrNone, reason: z.string() }),
  /** `attempt` is the one that was seen; a cancellation is for all. */
  z.object({
    ...address,
    type: z.literal("cancel_requested"),
    attempt: attemptOrNone,
    reason: z.string(),
  }),
  /** Only the life that it is said of can be followed by another. */
  z.object({
    ...address,
    type: z.literal("retry_requested"),
    attempt: attemptOrNone,
    life: z.number().int().positive(),
  }),
]);
export type TaskEvent = z.infer<typeof TaskEvent>;

/** A right to have one attempt under way. Whoever has none doesn't dial. */
export const CallSlot = z.object({
  tenant: Tenant,
  taskId: TaskId,
  attempt: z.number().int().positive(),
  life: z.number().int().positive(),
  provider: ProviderName,
});
export type CallSlot = z.infer<typeof CallSlot>;

/**
 * All lines that are taken, in one record, so that taking some is one compare-and-set: however many processes give
 * them out, there are never more than the limits allow.
 */
export const CallSlots = z.object({
  v: z.literal(1),
  slots: z.array(CallSlot),
  /** How many the last write gave out; the rate is kept by what each process waits after it saw that. */
  granted: z.number().int().nonnegative(),
  writeId: z.string(),
});
export type CallSlots = z.infer<typeof CallSlots>;

export const CALL_SLOTS_KEY = "all";
/** As many fit into one record with room to spare. */
export const CALL_SLOTS_MAX = 500;
