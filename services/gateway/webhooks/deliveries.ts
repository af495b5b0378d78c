// GET /api/webhooks/:id/deliveries and POST /api/webhooks/:id/replay: how deliveries went, and sending them again.

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
import type { Routes } from "../http/routes.ts";
import { randomToken } from "../sessions/session-ids.ts";
import { requireEndpoint } from "./endpoints.ts";

/** Deliveries of other webhooks are passed over; a page looks at so many at most, and the next goes on there. */
const LOOKED_AT_MAX = 5000;
const PAGE = 200;
/** More than this is asked for in several requests. */
const REPLAYED_MAX = 2000;

const errors = { "4xx": ErrorAnswer, "5xx": ErrorAnswer };
const tags = ["webhooks"];

export function deliveryRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/webhooks/:id/deliveries",
    {
      schema: {
        summary: "List how deliveries to a webhook went, newest first",
        description: "Each try of the last days. What was sent isn't shown: replay sends it again.",
        tags,
        params: WebhookParams,
        querystring: DeliveriesQuery,
        response: { 200: DeliveriesAnswer, ...errors },
      },
    },
    async ({ params, query }) => {
      await requireEndpoint(gateway, params.id);
      const page = await pageOf(gateway, params.id, query.limit, query.outcome, readCursor(query.cursor));
      return { success: true as const, ...page };
    },
  );
  app.post(
    "/api/webhooks/:id/replay",
    {
      schema: {
        summary: "Send events to a webhook again",
        description:
          "Each with its own id and number, as it was, behind what waits. Events are kept for seven days.",
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
        message: `${replayed} events are sent again.`,
      });
    },
  );
}

async function pageOf(
  { bus, tenant }: Gateway,
  endpoint: string,
  limit: number,
  outcome: WebhookDelivery["outcome"] | undefined,
  cursor: number | undefined,
) {
  const found: WebhookDelivery[] = [];
  let before = cursor;
  for (let looked = 0; looked < LOOKED_AT_MAX; looked += PAGE) {
    const page = await bus.streams.read(webhookDeliveries, {
      limit: PAGE,
      to: before === undefined ? undefined : before - 1,
      order: "newest-first",
    });
    for (const { sequence, message } of page) {
      before = sequence;
      const isOfIt = message.tenant === tenant && message.endpoint === endpoint;
      if (!isOfIt || (outcome !== undefined && message.outcome !== outcome)) continue;
      found.push(message);
      if (found.length === limit) return { deliveries: found.map(shown), nextCursor: String(before) };
    }
    if (page.length < PAGE) return { deliveries: found.map(shown), nextCursor: null };
  }
  return { deliveries: found.map(shown), nextCursor: before === undefined ? null : String(before) };
}

const shown = ({ tenant: _, endpoint: __, of, ...delivery }: WebhookDelivery) => ({ ...delivery, about: of });

function readCursor(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined;
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw new GreenroomError("invalid_request", "query.cursor: it is none that a page gave.");
}

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
      `This webhook was never told an event "${eventId}", or that is more than seven days ago.`,
    );
  }
  await again(gateway, stored.message);
  return { replayed: 1, next: null };
}

/** Oldest first, so that they come in the order in which they happened. What was itself a repeat isn't repeated. */
async function replaySince(gateway: Gateway, endpoint: string, sinceMs: number) {
  const { bus, tenant } = gateway;
  const subject = `webhook.${tenant}.${endpoint}.>`;
  let after = 0;
  let replayed = 0;
  // What is stored now, and not what this very request puts behind it.
  const [newest] = await bus.streams.read(webhooks, { limit: 1, order: "newest-first" });
  for (;;) {
    const page = await bus.streams.read(webhooks, { subject, from: after + 1, limit: PAGE });
    for (const { sequence, message } of page) {
      after = sequence;
      if (sequence > (newest?.sequence ?? 0)) return { replayed, next: null };
      if (message.replay !== undefined || Date.parse(message.event.timestamp) < sinceMs) continue;
      if (replayed === REPLAYED_MAX) return { replayed, next: message.event.timestamp };
      await again(gateway, message);
      replayed += 1;
    }
    if (page.length < PAGE) return { replayed, next: null };
  }
}

const again = ({ bus }: Gateway, message: WebhookMessage) =>
  bus.streams.publish(webhooks, { ...message, replay: randomToken() });
