// HTTP requests and answers about webhook endpoints and their deliveries.
import { z } from "zod";
import { EndpointId, WebhookDelivery, WebhookEvent, WebhookFilter } from "./webhook.ts";

export const WebhookParams = z.strictObject({ id: EndpointId });

export const WebhookRequest = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(2048)
      .describe(
        "Address for POST requests, http or https. Private addresses are refused unless GREENROOM_WEBHOOK_ALLOW contains them.",
      ),
    events: z
      .array(WebhookFilter)
      .min(1)
      .max(32)
      .default(["*"])
      .describe(
        "Event types to send: one type (`session.ended`), all types of a kind (`task.*`), or everything (`*`).",
      ),
    description: z.string().max(200).optional(),
  })
  .meta({ id: "WebhookRequest" });

export const WebhookState = z
  .object({
    id: EndpointId,
    url: z.string(),
    events: z.array(WebhookFilter),
    description: z.string().optional(),
    status: z
      .enum(["active", "failing", "disabled"])
      .describe("`failing`: the last deliveries failed and are retried. `disabled`: no more deliveries."),
    reason: z.string().optional().describe("The last failure of a failing or disabled endpoint."),
    waiting: z.int().describe("Undelivered events in the queue. More may wait in the stream."),
    delivered: z.int(),
    createdAt: z.string(),
  })
  .meta({ id: "Webhook" });
export type WebhookState = z.infer<typeof WebhookState>;

export const WebhookCreated = z
  .object({
    success: z.literal(true),
    webhook: WebhookState,
    secret: z.string().describe("Secret that signs each delivery. It is shown only once."),
  })
  .meta({ id: "WebhookCreated" });

export const WebhookRotated = WebhookCreated.extend({
  previousUntil: z.string().describe("Time until which deliveries are also signed with the previous secret."),
}).meta({ id: "WebhookRotated" });

export const WebhookAnswer = z
  .object({ success: z.literal(true), webhook: WebhookState })
  .meta({ id: "WebhookAnswer" });
export const WebhooksAnswer = z
  .object({ success: z.literal(true), webhooks: z.array(WebhookState) })
  .meta({ id: "Webhooks" });
export const WebhookRemoved = z
  .object({ success: z.literal(true), id: EndpointId, message: z.string() })
  .meta({ id: "WebhookRemoved" });

export const DeliveriesQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  outcome: WebhookDelivery.shape.outcome.optional(),
  cursor: z.string().max(64).optional().describe("`nextCursor` of the previous page."),
});

export const DeliveriesAnswer = z
  .object({
    success: z.literal(true),
    deliveries: z.array(
      WebhookDelivery.omit({ tenant: true, endpoint: true, of: true }).extend({
        about: z.string().describe("Id of the session or task."),
      }),
    ),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: "WebhookDeliveries" });

export const ReplayRequest = z
  .strictObject({
    eventId: WebhookEvent.shape.id.optional().describe("Id of a single event."),
    since: z.iso.datetime({ offset: true }).optional().describe("Start of the events to send."),
  })
  .refine(({ eventId, since }) => (eventId === undefined) !== (since === undefined), "say eventId or since")
  .meta({ id: "ReplayRequest" });

export const ReplayAnswer = z
  .object({
    success: z.literal(true),
    replayed: z.int(),
    complete: z.boolean().describe("False if more events follow, from `next` on."),
    next: z.string().nullable(),
    message: z.string(),
  })
  .meta({ id: "ReplayAnswer" });
