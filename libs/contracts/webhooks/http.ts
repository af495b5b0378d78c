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
        "Where to POST to, by http or https. Private addresses are refused unless a setting allows them.",
      ),
    events: z
      .array(WebhookFilter)
      .min(1)
      .max(32)
      .default(["*"])
      .describe("What to tell: `session.ended`, all of a kind as `task.*`, or all: `*`."),
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
      .describe("`failing`: the last deliveries came to nothing and are tried again. `disabled`: given up."),
    reason: z.string().optional().describe("Of one that is failing or disabled: what the last failure was."),
    waiting: z.int().describe("Events in hand that it hasn't taken yet; more may wait in the stream."),
    delivered: z.int(),
    createdAt: z.string(),
  })
  .meta({ id: "Webhook" });
export type WebhookState = z.infer<typeof WebhookState>;

export const WebhookCreated = z
  .object({
    success: z.literal(true),
    webhook: WebhookState,
    secret: z.string().describe("Signs each delivery. It is shown here once, and never again."),
  })
  .meta({ id: "WebhookCreated" });

export const WebhookRotated = WebhookCreated.extend({
  formerUntil: z.string().describe("Until then deliveries are signed with the former secret too."),
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
  cursor: z.string().max(64).optional().describe("`nextCursor` of the page before."),
});

export const DeliveriesAnswer = z
  .object({
    success: z.literal(true),
    deliveries: z.array(
      WebhookDelivery.omit({ tenant: true, endpoint: true, of: true }).extend({
        about: z.string().describe("The id of the session or task."),
      }),
    ),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: "WebhookDeliveries" });

export const ReplayRequest = z
  .strictObject({
    eventId: WebhookEvent.shape.id.optional().describe("One event, by its id."),
    since: z.iso.datetime({ offset: true }).optional().describe("All that happened since then."),
  })
  .refine(({ eventId, since }) => (eventId === undefined) !== (since === undefined), "say eventId or since")
  .meta({ id: "ReplayRequest" });

export const ReplayAnswer = z
  .object({
    success: z.literal(true),
    replayed: z.int(),
    complete: z.boolean().describe("False: there are more, since `next`."),
    next: z.string().nullable(),
    message: z.string(),
  })
  .meta({ id: "ReplayAnswer" });
