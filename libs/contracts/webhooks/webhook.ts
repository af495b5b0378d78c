// Webhooks that we send: who wants to be told what, what is told, and how its delivery goes.
import { z } from "zod";
import { SessionId, Tenant, token } from "../ids.ts";
import { TaskState } from "../tasks/task.ts";

export const EndpointId = token("A webhook id");

/** What can be told of a task: each state that it comes to. */
const taskEventTypes = TaskState.options.map((state) => `task.${state}` as const);

export const WebhookEventType = z.enum([
  "session.ready",
  "session.ended",
  "call.completed",
  ...taskEventTypes,
]);
export type WebhookEventType = z.infer<typeof WebhookEventType>;

/** Which of them an endpoint is told: by name, all of a kind, or all. */
export const WebhookFilter = z.union([WebhookEventType, z.enum(["session.*", "call.*", "task.*", "*"])]);
export type WebhookFilter = z.infer<typeof WebhookFilter>;

export const isWanted = (filters: readonly WebhookFilter[], type: WebhookEventType): boolean =>
  filters.some((filter) => filter === "*" || filter === type || filter === `${type.split(".")[0]}.*`);

/** An endpoint as a person registered it. Its secret stands here and nowhere else. */
export const WebhookEndpoint = z.object({
  v: z.literal(1),
  tenant: Tenant,
  id: EndpointId,
  url: z.string().max(2048),
  /** `whsec_` and the key in base64, as Standard Webhooks writes it. */
  secret: z.string().max(256),
  /** The secret before it, which signs too until then (an ISO time): a receiver needs time to change. */
  previous: z.object({ secret: z.string().max(256), until: z.string() }).optional(),
  events: z.array(WebhookFilter).min(1).max(32),
  description: z.string().max(200).optional(),
  /** Grows when a person enables it again: what was decided about the former generation is void then. */
  generation: z.number().int().positive(),
  createdAt: z.string(),
  writeId: z.string(),
});
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const endpointKey = (tenant: string, endpoint: string): string => `${tenant}.${endpoint}`;

/** Whether a session or a task is told about; each counts its events by itself. */
export const WebhookAbout = z.enum(["session", "task"]);
export type WebhookAbout = z.infer<typeof WebhookAbout>;

/** The body of a delivery. Made once, so that each try and each replay sends the same bytes. */
export const WebhookEvent = z.object({
  /** The same for each try, whichever instance sends it: a receiver knows a repeat by it. */
  id: z.string().max(200),
  type: WebhookEventType,
  sessionId: SessionId.optional(),
  taskId: SessionId.optional(),
  /** Counts the events of one session, or of one task, from 1 and without gaps. */
  sequence: z.number().int().positive(),
  /** When it happened. */
  timestamp: z.string(),
  data: z.record(z.string(), z.json()),
});
export type WebhookEvent = z.infer<typeof WebhookEvent>;

export const webhookEventId = (about: WebhookAbout, of: string, sequence: number): string =>
  `evt_${about}_${of}_${sequence}`;

/** @returns undefined for what is no id of ours */
export function readWebhookEventId(
  id: string,
): { about: WebhookAbout; of: string; sequence: number } | undefined {
  const match = /^evt_(session|task)_([A-Za-z0-9_-]+)_(\d{1,9})$/.exec(id);
  if (match === null) return undefined;
  return { about: match[1] as WebhookAbout, of: match[2] as string, sequence: Number(match[3]) };
}

/** One event on its way to one endpoint. */
export const WebhookMessage = z.object({
  tenant: Tenant,
  endpoint: EndpointId,
  about: WebhookAbout,
  /** The id of the session or task. */
  of: SessionId,
  event: WebhookEvent,
  /** Set when a person asked for it once more. */
  replay: token("A replay id").optional(),
});
export type WebhookMessage = z.infer<typeof WebhookMessage>;

/** Where the first telling of an event is stored, so that it can be looked up whether there was one. */
export const webhookSubject = (
  { tenant, endpoint, of }: { tenant: string; endpoint: string; of: string },
  about: WebhookAbout,
  sequence: number,
  replay?: string,
): string =>
  `webhook.${tenant}.${endpoint}.${of}.${about}-${sequence}${replay === undefined ? "" : `-${replay}`}`;

/** What became of one try to deliver. Without what was sent and what was answered, which may be personal. */
export const WebhookDelivery = z.object({
  tenant: Tenant,
  endpoint: EndpointId,
  of: SessionId,
  eventId: z.string(),
  type: WebhookEventType,
  sequence: z.number().int().positive(),
  replay: z.string().optional(),
  /** `delivered`: answered with 2xx. `failed`: it is tried again. `dead`: given up, and in the dead letters. */
  outcome: z.enum(["delivered", "failed", "dead"]),
  /** Which try it was. */
  tries: z.number().int().positive(),
  status: z.number().int().optional(),
  reason: z.string().max(300).optional(),
  tookMs: z.number().nonnegative(),
  /** When it is tried next, in ms from `at`. */
  nextInMs: z.number().nonnegative().optional(),
  at: z.string(),
});
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

/** Messages of one session that an endpoint hasn't taken yet. They are sent one after the other. */
export const WebhookLane = z.object({
  /** The session or task; a message that held up its own for too long goes on apart, with its place added. */
  key: z.string(),
  /** Their places in the stream WEBHOOKS, oldest first. */
  sequences: z.array(z.number().int().positive()).min(1),
  /** How often the first of them failed. */
  tries: z.number().int().nonnegative(),
  /** How long it is still to wait, in ms, when this was written. */
  dueInMs: z.number().nonnegative(),
  /** How long ago it first failed, in ms, and how many deliveries the endpoint had taken by then. */
  failedForMs: z.number().nonnegative().optional(),
  deliveredBefore: z.number().int().nonnegative().optional(),
});
export type WebhookLane = z.infer<typeof WebhookLane>;

/** How far the deliveries to one endpoint have come. Written by the instance that holds it. */
export const WebhookQueue = z.object({
  v: z.literal(1),
  tenant: Tenant,
  endpoint: EndpointId,
  /** The instance that delivers; whoever sees this revision stand for too long takes over. */
  owner: z.string().optional(),
  /** The place in the stream up to which everything was taken, was given up, or is in a lane. */
  cursor: z.number().int().nonnegative(),
  lanes: z.array(WebhookLane),
  /** Failures since the last delivery that was taken. */
  failures: z.number().int().nonnegative(),
  /** Deliveries that were taken. */
  delivered: z.number().int().nonnegative(),
  lastFailure: z.object({ at: z.string(), reason: z.string().max(300) }).optional(),
  /** Nothing is sent to this generation of the endpoint any more. */
  disabled: z
    .object({ generation: z.number().int().positive(), reason: z.string().max(300), at: z.string() })
    .optional(),
  /** Counts the writes, so that each is another one: by that others see that its owner lives. */
  heartbeat: z.number().int().nonnegative(),
  writeId: z.string(),
});
export type WebhookQueue = z.infer<typeof WebhookQueue>;

/** Whether the endpoint, as it stands now, was given up. */
export const isDisabled = (
  endpoint: Pick<WebhookEndpoint, "generation">,
  queue: WebhookQueue | undefined,
): boolean => queue?.disabled?.generation === endpoint.generation;

/** Something was put into an endpoint's queue; published to the instance that holds it. */
export const WebhookQueued = z.object({
  tenant: Tenant,
  endpoint: EndpointId,
  /** Not put in, but taken out: what is in hand is to be looked at once more. */
  removed: z.literal(true).optional(),
});
export type WebhookQueued = z.infer<typeof WebhookQueued>;
