// Outgoing webhooks: endpoints, events, deliveries, and the queue of each endpoint.
import { z } from "zod";
import { SessionId, Tenant, token } from "../ids.ts";
import { TaskState } from "../tasks/task.ts";

export const EndpointId = token("A webhook id");

/** One event for each state of a task. */
const taskEventTypes = TaskState.options.map((state) => `task.${state}` as const);

export const WebhookEventType = z.enum([
  "session.ready",
  "session.ended",
  "call.completed",
  ...taskEventTypes,
]);
export type WebhookEventType = z.infer<typeof WebhookEventType>;

/** Selects events for an endpoint: one type, all types of a kind, or all. */
export const WebhookFilter = z.union([WebhookEventType, z.enum(["session.*", "call.*", "task.*", "*"])]);
export type WebhookFilter = z.infer<typeof WebhookFilter>;

export const isWanted = (filters: readonly WebhookFilter[], type: WebhookEventType): boolean =>
  filters.some((filter) => filter === "*" || filter === type || filter === `${type.split(".")[0]}.*`);

/** An endpoint as registered. The only place that stores its secret. */
export const WebhookEndpoint = z.object({
  v: z.literal(1),
  tenant: Tenant,
  id: EndpointId,
  url: z.string().max(2048),
  /** `whsec_` and the key in base64, the format of Standard Webhooks. */
  secret: z.string().max(256),
  /** The previous secret. Signs too until that ISO time, so that receivers can switch. */
  previous: z.object({ secret: z.string().max(256), until: z.string() }).optional(),
  events: z.array(WebhookFilter).min(1).max(32),
  description: z.string().max(200).optional(),
  /** Grows when an operator enables the endpoint again, which voids decisions about the previous generation. */
  generation: z.number().int().positive(),
  createdAt: z.string(),
  writeId: z.string(),
});
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const endpointKey = (tenant: string, endpoint: string): string => `${tenant}.${endpoint}`;

/** The kind of object that an event is about. Each object numbers its events separately. */
export const WebhookAbout = z.enum(["session", "task"]);
export type WebhookAbout = z.infer<typeof WebhookAbout>;

/** The body of a delivery. Built once, so that each try and each replay sends the same bytes. */
export const WebhookEvent = z.object({
  /** Equal in every try and replay, so that receivers can detect duplicates. */
  id: z.string().max(200),
  type: WebhookEventType,
  sessionId: SessionId.optional(),
  taskId: SessionId.optional(),
  /** Numbers the events of one session or task, from 1 and without gaps. */
  sequence: z.number().int().positive(),
  /** Time of the event. */
  timestamp: z.string(),
  data: z.record(z.string(), z.json()),
});
export type WebhookEvent = z.infer<typeof WebhookEvent>;

export const webhookEventId = (about: WebhookAbout, of: string, sequence: number): string =>
  `evt_${about}_${of}_${sequence}`;

/** @returns undefined if `id` is not an id of Greenroom's events */
export function readWebhookEventId(
  id: string,
): { about: WebhookAbout; of: string; sequence: number } | undefined {
  const match = /^evt_(session|task)_([A-Za-z0-9_-]+)_(\d{1,9})$/.exec(id);
  if (match === null) return undefined;
  return { about: match[1] as WebhookAbout, of: match[2] as string, sequence: Number(match[3]) };
}

/** One event for one endpoint. */
export const WebhookMessage = z.object({
  tenant: Tenant,
  endpoint: EndpointId,
  about: WebhookAbout,
  /** The id of the session or task. */
  of: SessionId,
  event: WebhookEvent,
  /** Set if an operator requested a replay. */
  replay: token("A replay id").optional(),
});
export type WebhookMessage = z.infer<typeof WebhookMessage>;

/** The subject of an event. A reader can check there whether the event was published. */
export const webhookSubject = (
  { tenant, endpoint, of }: { tenant: string; endpoint: string; of: string },
  about: WebhookAbout,
  sequence: number,
  replay?: string,
): string =>
  `webhook.${tenant}.${endpoint}.${of}.${about}-${sequence}${replay === undefined ? "" : `-${replay}`}`;

/** The result of one delivery try. Omits request and response bodies, which may contain personal data. */
export const WebhookDelivery = z.object({
  tenant: Tenant,
  endpoint: EndpointId,
  of: SessionId,
  eventId: z.string(),
  type: WebhookEventType,
  sequence: z.number().int().positive(),
  replay: z.string().optional(),
  /** `delivered`: answered with 2xx. `failed`: will be retried. `dead`: given up and stored as a dead letter. */
  outcome: z.enum(["delivered", "failed", "dead"]),
  /** The number of the try. */
  tries: z.number().int().positive(),
  status: z.number().int().optional(),
  reason: z.string().max(300).optional(),
  tookMs: z.number().nonnegative(),
  /** Delay of the next try, in ms from `at`. */
  nextInMs: z.number().nonnegative().optional(),
  at: z.string(),
});
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

/** Undelivered messages of one session or task, which are delivered one after the other. */
export const WebhookLane = z.object({
  /** The session or task. A message that blocked its lane for too long gets its own lane: key plus sequence. */
  key: z.string(),
  /** Sequences in the stream WEBHOOKS, oldest first. */
  sequences: z.array(z.number().int().positive()).min(1),
  /** Failed tries of the first message. */
  tries: z.number().int().nonnegative(),
  /** Remaining delay in ms, at the time of the write. */
  dueInMs: z.number().nonnegative(),
  /** Time since the first failure in ms, and the endpoint's delivery count at that failure. */
  failedForMs: z.number().nonnegative().optional(),
  deliveredBefore: z.number().int().nonnegative().optional(),
});
export type WebhookLane = z.infer<typeof WebhookLane>;

/** Delivery progress of one endpoint. Written by the instance that owns the queue. */
export const WebhookQueue = z.object({
  v: z.literal(1),
  tenant: Tenant,
  endpoint: EndpointId,
  /** The instance that delivers. Another takes over when a revision does not change for too long. */
  owner: z.string().optional(),
  /** Stream sequence up to which every message was delivered, given up, or put into a lane. */
  cursor: z.number().int().nonnegative(),
  lanes: z.array(WebhookLane),
  /** Failures since the last successful delivery. */
  failures: z.number().int().nonnegative(),
  /** Successful deliveries. */
  delivered: z.number().int().nonnegative(),
  lastFailure: z.object({ at: z.string(), reason: z.string().max(300) }).optional(),
  /** Nothing is delivered to this generation of the endpoint any more. */
  disabled: z
    .object({ generation: z.number().int().positive(), reason: z.string().max(300), at: z.string() })
    .optional(),
  /** Makes each write different, which shows that the owner is alive. */
  heartbeat: z.number().int().nonnegative(),
  writeId: z.string(),
});
export type WebhookQueue = z.infer<typeof WebhookQueue>;

/** Whether the endpoint's present generation was disabled. */
export const isDisabled = (
  endpoint: Pick<WebhookEndpoint, "generation">,
  queue: WebhookQueue | undefined,
): boolean => queue?.disabled?.generation === endpoint.generation;

/** Notifies the owner of an endpoint's queue. */
export const WebhookQueued = z.object({
  tenant: Tenant,
  endpoint: EndpointId,
  /** Set if messages were deleted from the queue: those in progress must be checked again. */
  removed: z.literal(true).optional(),
});
export type WebhookQueued = z.infer<typeof WebhookQueued>;
