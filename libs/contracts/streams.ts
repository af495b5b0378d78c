// Every subject of the system: what travels on it, where it is stored, how a repeat is told.
import { z } from "zod";
import { CallRecord, callSubject, dayOf } from "./calls/call.ts";
import { HandoffEvent, handoffEventId } from "./claims/claim.ts";
import {
  Assign,
  AssignAnswer,
  Drain,
  DrainAnswer,
  HostRecord,
  Ping,
  Pong,
  Release,
  ReleaseAnswer,
  Undrain,
} from "./fleet/host.ts";
import { DeadLetter, LogBatch, RoomEvent, ServiceHeartbeat } from "./fleet/pool.ts";
import { SessionEvent } from "./sessions/session.ts";
import { TaskEvent, TaskRequest } from "./tasks/task.ts";
import { WebhookDelivery, WebhookMessage, WebhookQueued, webhookSubject } from "./webhooks/webhook.ts";

/** A stored stream of messages. */
export interface Channel<T> {
  readonly stream: string;
  readonly subjects: string;
  readonly schema: z.ZodType<T>;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  /** What a full stream does: refuse the new, or forget the old. */
  readonly discard: "refuse" | "forget";
  /** With 1, a message replaces the one before it on its subject, if its id is not that one's. */
  readonly maxPerSubject?: number;
  /** Whether any replica may answer who scans it, perhaps one that is behind: quick, and quick among millions. */
  readonly allowDirect?: true;
  readonly subjectOf: (message: T) => string;
  /** Equal for two tellings of the same thing, which are then stored once; undefined: each one counts. */
  readonly idOf: (message: T) => string | undefined;
  /** Takes what this stream can't while it has no leader, and hands it on: another stream, led by another node. */
  readonly overflow?: Channel<T> | undefined;
}

/** Said once to whoever listens; never stored. */
export interface Topic<T> {
  readonly subject: string;
  readonly schema: z.ZodType<T>;
}

/** A question to one host, answered at once. */
export interface Command<Q, A> {
  readonly name: string;
  readonly subjectOf: (host: string) => string;
  readonly request: z.ZodType<Q>;
  readonly answer: z.ZodType<A>;
  readonly timeoutMs: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const MIB = 1024 * 1024;
/** NATS ends the connection of who publishes on a subject of 4 KiB; somebody may have sent one that nearly is. */
const MAX_SUBJECT = 1024;

/** The stream of sessions by itself, without its relief. */
export const sessionEventsWithoutOverflow: Omit<Channel<SessionEvent>, "overflow"> = {
  stream: "SESSIONS",
  subjects: "session.*.*.*",
  schema: SessionEvent,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 1024 * MIB,
  discard: "refuse",
  subjectOf: (event) => `session.${event.tenant}.${event.sessionId}.${event.type}`,
  idOf: (event) => {
    if (event.type === "retry_requested") return undefined;
    const kind = event.type === "deadline_exceeded" ? `.${event.state}.${event.kind}` : lostIn(event);
    const attempt = "attempt" in event ? event.attempt : 0;
    return `${event.tenant}.${event.sessionId}.${event.type}${kind}.${attempt}`;
  },
};

/** What could not be stored in SESSIONS at once. The dispatchers hand it on to there; nobody else reads it. */
export const sessionOverflow: Channel<SessionEvent> = {
  ...sessionEventsWithoutOverflow,
  stream: "SESSIONS_OVERFLOW",
  subjects: `overflow.${sessionEventsWithoutOverflow.subjects}`,
  maxBytes: 64 * MIB,
  subjectOf: (event) => `overflow.${sessionEventsWithoutOverflow.subjectOf(event)}`,
};

/** What happened to sessions. Written by every service, read by the dispatcher. */
export const sessionEvents: Channel<SessionEvent> = {
  ...sessionEventsWithoutOverflow,
  overflow: sessionOverflow,
};

/** A loss that the session's state had overtaken must not hide one that comes later. */
const lostIn = (event: SessionEvent): string =>
  event.type === "agent_lost" && event.state !== undefined ? `.${event.state}` : "";

/** What agents logged, kept for a day. */
export const sessionLogs: Channel<LogBatch> = {
  stream: "SESSION_LOGS",
  subjects: "log.*.*",
  schema: LogBatch,
  maxAgeMs: DAY_MS,
  maxBytes: 256 * MIB,
  discard: "forget",
  maxPerSubject: 200,
  subjectOf: (batch) => `log.${batch.tenant}.${batch.sessionId}`,
  idOf: () => undefined,
};

/** Messages that nobody could handle; `nats stream view DEAD_LETTERS` shows them. */
export const deadLetters: Channel<DeadLetter> = {
  stream: "DEAD_LETTERS",
  subjects: "dead.>",
  schema: DeadLetter,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 64 * MIB,
  discard: "forget",
  subjectOf: ({ subject }) =>
    `dead.${subject}`
      .slice(0, MAX_SUBJECT)
      .replace(/[*>\s]/g, "_")
      .replace(/\.+$/, ""),
  // Whoever buries it may die before it is settled, and the next one buries it again.
  idOf: ({ stream, sequence }) => `${stream}.${sequence}`,
};

/**
 * What other systems and we say to each other about handoffs: their requests, and what we tell them. It is short-lived:
 * a handoff is about a call that waits.
 */
export const handoffEvents: Channel<HandoffEvent> = {
  stream: "HANDOFFS",
  subjects: "runtime.>",
  schema: HandoffEvent,
  maxAgeMs: DAY_MS,
  maxBytes: 128 * MIB,
  discard: "forget",
  subjectOf: ({ type }) => `runtime.${type}`,
  idOf: handoffEventId,
};

/** The requests among them, of any shape: who sent one that is wrong is told so. */
export const handoffRequests: Channel<unknown> = {
  stream: handoffEvents.stream,
  subjects: "runtime.handoff_requested",
  schema: z.json(),
  maxAgeMs: handoffEvents.maxAgeMs,
  maxBytes: handoffEvents.maxBytes,
  discard: handoffEvents.discard,
  subjectOf: () => "runtime.handoff_requested",
  idOf: () => undefined,
};

/**
 * Outbound tasks as they are asked for, by the gateway or by anybody's message on `tasks.outbound.<tenant>`. One that
 * brings its own id has a subject of its own, by which it is found. Read by the tasks service.
 */
export const taskRequests: Channel<TaskRequest> = {
  stream: "TASK_REQUESTS",
  subjects: "tasks.outbound.>",
  schema: TaskRequest,
  // As long as the tasks service may be down before a request is lost.
  maxAgeMs: 30 * DAY_MS,
  maxBytes: 256 * MIB,
  discard: "refuse",
  subjectOf: ({ tenant, taskId }) => `tasks.outbound.${tenant}${taskId === undefined ? "" : `.${taskId}`}`,
  idOf: ({ tenant, taskId, idempotencyKey }) =>
    taskId !== undefined
      ? `${tenant}.${taskId}`
      : idempotencyKey === undefined
        ? undefined
        : `${tenant}.key.${idempotencyKey}`,
};

/** What happened to tasks. Written by the tasks service and the gateway, read by the tasks service. */
export const taskEvents: Channel<TaskEvent> = {
  stream: "TASKS",
  subjects: "task.*.*.*",
  schema: TaskEvent,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 256 * MIB,
  discard: "refuse",
  subjectOf: (event) => `task.${event.tenant}.${event.taskId}.${event.type}`,
  idOf: (event) => {
    const id = `${event.tenant}.${event.taskId}.${event.type}.${event.attempt}`;
    switch (event.type) {
      case "call_updated":
        return `${id}.${event.revision}`;
      case "retry_requested":
        return `${id}.${event.life}`;
      // Said until it is heard: the record decides whether it still counts.
      case "slot_granted":
      case "cancel_requested":
      case "deadline_exceeded":
        return undefined;
      default:
        return id;
    }
  },
};

/**
 * The ended sessions, one message each: a call that is recorded again replaces what was there. Subjects are by tenant
 * and day, in UTC, so that a day can be listed and removed. Written by the calls service.
 */
export const calls: Channel<CallRecord> = {
  stream: "CALLS",
  subjects: "call.*.*.*",
  schema: CallRecord,
  maxAgeMs: 400 * DAY_MS,
  // Some million calls. A full stream must not stop anything: the oldest calls go.
  maxBytes: 2048 * MIB,
  discard: "forget",
  maxPerSubject: 1,
  allowDirect: true,
  subjectOf: (call) => callSubject(call.tenant, dayOf(call.endedAt), call.sessionId),
  // What is said again may say more.
  idOf: () => undefined,
};

/** Events on their way to webhooks, one a subject. Kept after their delivery, for who asks for them again. */
export const webhooks: Channel<WebhookMessage> = {
  stream: "WEBHOOKS",
  subjects: "webhook.>",
  schema: WebhookMessage,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 512 * MIB,
  // A dead endpoint must not keep the others from being told: the oldest go, which were mostly delivered.
  discard: "forget",
  maxPerSubject: 1,
  allowDirect: true,
  subjectOf: (message) => webhookSubject(message, message.about, message.event.sequence, message.replay),
  idOf: (message) => webhookSubject(message, message.about, message.event.sequence, message.replay),
};

/** How deliveries went, try by try. */
export const webhookDeliveries: Channel<WebhookDelivery> = {
  stream: "WEBHOOK_DELIVERIES",
  subjects: "delivery.*.*.*",
  schema: WebhookDelivery,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 128 * MIB,
  discard: "forget",
  allowDirect: true,
  subjectOf: ({ tenant, endpoint, of }) => `delivery.${tenant}.${endpoint}.${of}`,
  idOf: () => undefined,
};

/** Something was put into the queue of an endpoint that another instance holds. */
export const webhooksQueued: Topic<WebhookQueued> = { subject: "webhooks.queued", schema: WebhookQueued };

/** A host's record at every change: the same as in its bucket, but at once and for free. */
export const hostChanges: Topic<HostRecord> = { subject: "hosts.changed", schema: HostRecord };

/** Every process says every two seconds that it lives. */
export const serviceHeartbeats: Topic<ServiceHeartbeat> = {
  subject: "services.heartbeat",
  schema: ServiceHeartbeat,
};

/** LiveKit's webhooks, checked and passed on. */
export const roomEvents: Topic<RoomEvent> = { subject: "rooms.event", schema: RoomEvent };

export const assignCommand: Command<Assign, AssignAnswer> = {
  name: "assign",
  subjectOf: (host) => `host.${host}.assign`,
  request: Assign,
  answer: AssignAnswer,
  timeoutMs: 2000,
};

export const releaseCommand: Command<Release, ReleaseAnswer> = {
  name: "release",
  subjectOf: (host) => `host.${host}.release`,
  request: Release,
  answer: ReleaseAnswer,
  timeoutMs: 2000,
};

export const drainCommand: Command<Drain, DrainAnswer> = {
  name: "drain",
  subjectOf: (host) => `host.${host}.drain`,
  request: Drain,
  answer: DrainAnswer,
  timeoutMs: 2000,
};

export const undrainCommand: Command<z.infer<typeof Undrain>, DrainAnswer> = {
  name: "undrain",
  subjectOf: (host) => `host.${host}.undrain`,
  request: Undrain,
  answer: DrainAnswer,
  timeoutMs: 2000,
};

export const pingCommand: Command<z.infer<typeof Ping>, Pong> = {
  name: "ping",
  subjectOf: (host) => `host.${host}.ping`,
  request: Ping,
  answer: Pong,
  timeoutMs: 500,
};

export const allChannels: readonly Channel<never>[] = [
  sessionEvents,
  sessionOverflow,
  sessionLogs,
  deadLetters,
  calls,
  handoffEvents,
  taskRequests,
  taskEvents,
  webhooks,
  webhookDeliveries,
] as never;
