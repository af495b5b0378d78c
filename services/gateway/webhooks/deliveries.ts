// GET /api/webhooks/:id/deliveries and POST /api/webhooks/:id/replay: lists deliveries, and sends events again.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { webhookDeliveries, webhooks, webhooksQueued } from "../../../libs/contracts/streams.ts";
import {
  DeliveriesAnswer,
  DeliveriesQuery,
  ReplayAnswer,
  ReplayRequest,
  WebhookParams,
} from "../../../libs/contracts/webhooks/http.ts";
import {
  readWebhookEventId,
  type WebhookDelivery,
  type WebhookMessage,
  webhookSubject,
} from "../../../libs/contracts/webhooks/webhook.ts";
import type { Gateway } from "../context.ts";
import { pageOfChannel } from "../http/pages.ts";
import type { Routes } from "../http/routes.ts";
import { randomToken } from "../sessions/session-ids.ts";
import { requireEndpoint } from "./endpoints.ts";

const PAGE = 200;
/** Maximum number of events in one request. */
const REPLAYED_MAX = 2000;

const errors = { "4xx": ErrorAnswer, "5xx": ErrorAnswer };
const tags = ["webhooks"];

export function deliveryRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/webhooks/:id/deliveries",
    {
      schema: {
        summary: "List the deliveries to a webhook, newest first",
        description: "Each try of the last days, without the sent body. Use replay to send an event again.",
        tags,
        params: WebhookParams,
        querystring: DeliveriesQuery,
        response: { 200: DeliveriesAnswer, ...errors },
      },
    },
    async ({ params, query }) => {
      await requireEndpoint(gateway, params.id);
      const { id } = params;
      const { found, nextCursor } = await pageOfChannel(
        gateway.bus,
        webhookDeliveries,
        query,
        (delivery) =>
          delivery.tenant === gateway.tenant &&
          delivery.endpoint === id &&
          (query.outcome === undefined || delivery.outcome === query.outcome),
      );
      return {
        success: true as const,
        deliveries: found.map(({ message }) => toPublicDelivery(message)),
        nextCursor,
      };
    },
  );
  app.post(
    "/api/webhooks/:id/replay",
    {
      schema: {
        summary: "Replay events to a webhook",
        description:
          "Events keep their id and number, and are sent after the waiting ones. Events are kept for seven days.",
        tags,
        params: WebhookParams,
        body: ReplayRequest,
        response: { 202: ReplayAnswer, ...errors },
      },
    },
    async ({ params, body }, reply) => {
      await requireEndpoint(gateway, params.id);
      const { replayed, next } =
        body.eventId === undefined
          ? await replaySince(gateway, params.id, Date.parse(body.since ?? ""))
          : await replayOne(gateway, params.id, body.eventId);
      gateway.bus.core.publishTransient(webhooksQueued, { tenant: gateway.tenant, endpoint: params.id });
      return reply.code(202).send({
        success: true as const,
        replayed,
        complete: next === null,
        next,
        message: `Sending ${replayed} events again.`,
      });
    },
  );
}

const toPublicDelivery = ({ tenant: _, endpoint: __, of, ...delivery }: WebhookDelivery) => ({
  ...delivery,
  about: of,
});

async function replayOne(gateway: Gateway, endpoint: string, eventId: string) {
  const { bus, tenant } = gateway;
  const read = readWebhookEventId(eventId);
  const [stored] =
    read === undefined
      ? []
      : await bus.streams.read(webhooks, {
          subject: webhookSubject({ tenant, endpoint, of: read.of }, read.about, read.sequence),
          limit: 1,
          order: "newest-first",
        });
  if (stored === undefined) {
    throw new GreenroomError(
      "not_found",
      `No event "${eventId}" for this webhook, or the event is older than seven days.`,
    );
  }
  await replay(gateway, stored.message);
  return { replayed: 1, next: null };
}

/** Replays events, oldest first, so that they arrive in their order. Earlier replays are not replayed. */
async function replaySince(gateway: Gateway, endpoint: string, sinceMs: number) {
  const { bus, tenant } = gateway;
  const subject = `webhook.${tenant}.${endpoint}.>`;
  let after = 0;
  let replayed = 0;
  // Replays only events that are stored now, not the ones that this request appends.
  const [newest] = await bus.streams.read(webhooks, { limit: 1, order: "newest-first" });
  for (;;) {
    const page = await bus.streams.read(webhooks, { subject, from: after + 1, limit: PAGE });
    for (const { sequence, message } of page) {
      after = sequence;
      if (sequence > (newest?.sequence ?? 0)) return { replayed, next: null };
      if (message.replay !== undefined || Date.parse(message.event.timestamp) < sinceMs) continue;
      if (replayed === REPLAYED_MAX) return { replayed, next: message.event.timestamp };
      await replay(gateway, message);
      replayed += 1;
    }
    if (page.length < PAGE) return { replayed, next: null };
  }
}

const replay = ({ bus }: Gateway, message: WebhookMessage) =>
  bus.streams.publish(webhooks, { ...message, replay: randomToken() });
