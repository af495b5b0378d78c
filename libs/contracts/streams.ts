// Every subject: its messages, the stream that stores them, and how duplicates are detected.
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
  /** For people who look at NATS. */
  readonly description: string;
  readonly subjects: string;
  readonly schema: z.ZodType<T>;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  /** When the stream is full: refuse new messages, or delete the oldest. */
  readonly discard: "refuse" | "forget";
  /** 1: a message replaces the previous one on its subject, unless both have the same id. */
  readonly maxPerSubject?: number;
  /** Lets any replica answer reads: fast even with millions of messages, but possibly stale. */
  readonly allowDirect?: true;
  readonly subjectOf: (message: T) => string;
  /** Deduplication id, equal for repeated publications of one event. Undefined: never deduplicated. */
  readonly idOf: (message: T) => string | undefined;
  /** Accepts messages while this stream has no leader, and forwards them later. Another node leads it. */
  readonly overflow?: Channel<T> | undefined;
}

/** A message to all present subscribers. Never stored. */
export interface Topic<T> {
  readonly subject: string;
  readonly schema: z.ZodType<T>;
}

/** A request to one host, answered immediately. */
export interface Command<Q, A> {
  readonly name: string;
  readonly subjectOf: (host: string) => string;
  readonly request: z.ZodType<Q>;
  readonly answer: z.ZodType<A>;
  readonly timeoutMs: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const MIB = 1024 * 1024;
/** NATS closes the connection of a client whose subject exceeds 4 KiB, and subjects from outside may be long. */
const MAX_SUBJECT = 1024;

/** The stream of session events without its overflow stream. */
export const sessionEventsWithoutOverflow: Omit<Channel<SessionEvent>, "overflow"> = {
  stream: "SESSIONS",
  description: "Session events. Every service publishes them, the dispatcher handles them.",
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

/** Events that SESSIONS could not store immediately. Only dispatchers read them, and forward them to SESSIONS. */
export const sessionOverflow: Channel<SessionEvent> = {
  ...sessionEventsWithoutOverflow,
  stream: "SESSIONS_OVERFLOW",
  description: "Session events that SESSIONS could not store. The dispatcher forwards them.",
  subjects: `overflow.${sessionEventsWithoutOverflow.subjects}`,
  maxBytes: 64 * MIB,
  subjectOf: (event) => `overflow.${sessionEventsWithoutOverflow.subjectOf(event)}`,
};

/** Session events. Published by every service, consumed by the dispatcher. */
export const sessionEvents: Channel<SessionEvent> = {
  ...sessionEventsWithoutOverflow,
  overflow: sessionOverflow,
};

/** A loss that counts in one state only has an id of its own, so it does not suppress a later loss. */
const lostIn = (event: SessionEvent): string =>
  event.type === "agent_lost" && event.state !== undefined ? `.${event.state}` : "";

/** Log lines of agents, kept for a day. */
export const sessionLogs: Channel<LogBatch> = {
  stream: "SESSION_LOGS",
  description: "Log lines of agents.",
  subjects: "log.*.*",
  schema: LogBatch,
  maxAgeMs: DAY_MS,
  maxBytes: 256 * MIB,
  discard: "forget",
  maxPerSubject: 200,
  subjectOf: (batch) => `log.${batch.tenant}.${batch.sessionId}`,
  idOf: () => undefined,
};

/** Messages that no delivery could process. `nats stream view DEAD_LETTERS` shows them. */
export const deadLetters: Channel<DeadLetter> = {
  stream: "DEAD_LETTERS",
  description: "Messages that no delivery could process, with the reason.",
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
  // A consumer that dies before it acks writes the dead letter again after redelivery.
  idOf: ({ stream, sequence }) => `${stream}.${sequence}`,
};

/**
 * Handoffs: requests of other systems, and Greenroom's events about them. Short-lived, because a waiting call is behind
 * each handoff.
 */
export const handoffEvents: Channel<HandoffEvent> = {
  stream: "HANDOFFS",
  description: "Handoffs of other systems, and Greenroom's events about them.",
  subjects: "runtime.>",
  schema: HandoffEvent,
  maxAgeMs: DAY_MS,
  maxBytes: 128 * MIB,
  discard: "forget",
  subjectOf: ({ type }) => `runtime.${type}`,
  idOf: handoffEventId,
};

/** Handoff requests of any shape, so that an invalid one can be answered. */
export const handoffRequests: Channel<unknown> = {
  stream: handoffEvents.stream,
  description: handoffEvents.description,
  subjects: "runtime.handoff_requested",
  schema: z.json(),
  maxAgeMs: handoffEvents.maxAgeMs,
  maxBytes: handoffEvents.maxBytes,
  discard: handoffEvents.discard,
  subjectOf: () => "runtime.handoff_requested",
  idOf: () => undefined,
};

/**
 * Requests for outbound tasks, from the gateway or published directly on `tasks.outbound.<tenant>`. A request with its
 * own task id has its own subject, by which it can be found. Consumed by the tasks service.
 */
export const taskRequests: Channel<TaskRequest> = {
  stream: "TASK_REQUESTS",
  description: "Requests for outbound calls, for the tasks service.",
  subjects: "tasks.outbound.>",
  schema: TaskRequest,
  // The longest outage of the tasks service that loses no request.
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

/** Task events. Published by the tasks service and the gateway, consumed by the tasks service. */
export const taskEvents: Channel<TaskEvent> = {
  stream: "TASKS",
  description: "Task events. The gateway and the tasks service publish them, the tasks service handles them.",
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
      // Published until the record changes, which decides whether the event still applies.
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
 * Call records, one message for each ended session; a newer record replaces the older one. Subjects contain tenant and
 * day (UTC), so that a day can be listed and deleted. Written by the calls service.
 */
export const calls: Channel<CallRecord> = {
  stream: "CALLS",
  description: "Call records, one for each ended session, by the calls service.",
  subjects: "call.*.*.*",
  schema: CallRecord,
  maxAgeMs: 400 * DAY_MS,
  // Some millions of calls. A full stream must not block anything, so the oldest calls are deleted.
  maxBytes: 2048 * MIB,
  discard: "forget",
  maxPerSubject: 1,
  allowDirect: true,
  subjectOf: (call) => callSubject(call.tenant, dayOf(call.endedAt), call.sessionId),
  // A later version of the record may contain more.
  idOf: () => undefined,
};

/** Events for webhooks, one per subject. Kept after delivery, for replays. */
export const webhooks: Channel<WebhookMessage> = {
  stream: "WEBHOOKS",
  description: "Events for webhook endpoints, kept after their delivery for replays.",
  subjects: "webhook.>",
  schema: WebhookMessage,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 512 * MIB,
  // A dead endpoint must not block the others. The oldest events are deleted; most of them were delivered.
  discard: "forget",
  maxPerSubject: 1,
  allowDirect: true,
  subjectOf: (message) => webhookSubject(message, message.about, message.event.sequence, message.replay),
  idOf: (message) => webhookSubject(message, message.about, message.event.sequence, message.replay),
};

/** The result of each delivery try. */
export const webhookDeliveries: Channel<WebhookDelivery> = {
  stream: "WEBHOOK_DELIVERIES",
  description: "The result of each try to deliver an event to a webhook endpoint.",
  subjects: "delivery.*.*.*",
  schema: WebhookDelivery,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: 128 * MIB,
  discard: "forget",
  allowDirect: true,
  subjectOf: ({ tenant, endpoint, of }) => `delivery.${tenant}.${endpoint}.${of}`,
  idOf: () => undefined,
};

/** Notifies the owner of an endpoint's queue about a new message. */
export const webhooksQueued: Topic<WebhookQueued> = { subject: "webhooks.queued", schema: WebhookQueued };

/** A host's record at every change. Faster than its bucket, and without a stored revision. */
export const hostChanges: Topic<HostRecord> = { subject: "hosts.changed", schema: HostRecord };

/** Heartbeats, every 2 s from every process. */
export const serviceHeartbeats: Topic<ServiceHeartbeat> = {
  subject: "services.heartbeat",
  schema: ServiceHeartbeat,
};

/** Events of LiveKit's webhooks, verified and forwarded. */
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
