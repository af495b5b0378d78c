// The routes of webhook endpoints, under /api/webhooks, with the state of their deliveries.
import { randomBytes } from "node:crypto";
import { webhookEndpoints, webhookQueues } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { webhookDeliveries, webhooks } from "../../../libs/contracts/streams.ts";
import {
  WebhookAnswer,
  WebhookCreated,
  WebhookParams,
  WebhookRemoved,
  WebhookRequest,
  WebhookRotated,
  type WebhookState,
  WebhooksAnswer,
} from "../../../libs/contracts/webhooks/http.ts";
import {
  endpointKey,
  isDisabled,
  type WebhookEndpoint,
  type WebhookQueue,
} from "../../../libs/contracts/webhooks/webhook.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import { readAllowedTargets, refusalOf } from "../../../libs/runtime/url-guard.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { randomToken } from "../sessions/session-ids.ts";

/** Maximum number of endpoints, because each event is stored once for each of them. */
const ENDPOINTS_MAX = 50;
/** As long as the signing hash. */
const SECRET_BYTES = 32;
/** Time after a rotation in which both secrets sign. */
const PREVIOUS_SECRET_MS = 24 * 60 * 60 * 1000;
const TRIES = 5;

const errors = { "4xx": ErrorAnswer, "5xx": ErrorAnswer };
const tags = ["webhooks"];

export function endpointRoutes(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/webhooks",
    {
      schema: {
        summary: "Register a webhook",
        description:
          "Each event is a POST request, signed according to Standard Webhooks, with the body `{id, type, sessionId | taskId, sequence, timestamp, data}`. Without a 2xx answer it is retried for a day.",
        tags,
        body: WebhookRequest,
        response: { 201: WebhookCreated, ...errors },
      },
    },
    async ({ body }, reply) => {
      const endpoint = await register(gateway, body);
      reply.header("Cache-Control", "no-store");
      return reply.code(201).send({
        success: true as const,
        webhook: toPublicEndpoint(endpoint, undefined),
        secret: endpoint.secret,
      });
    },
  );
  app.get(
    "/api/webhooks",
    { schema: { summary: "List webhooks", tags, response: { 200: WebhooksAnswer, ...errors } } },
    async () => {
      const [endpoints, queues] = await Promise.all([
        gateway.bus.kv.entries(webhookEndpoints, `${gateway.tenant}.>`),
        gateway.bus.kv.entries(webhookQueues, `${gateway.tenant}.>`),
      ]);
      const queueOf = new Map(queues.map(({ value }) => [value.endpoint, value]));
      const sorted = endpoints.map(({ value }) => value).sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
      return {
        success: true as const,
        webhooks: sorted.map((endpoint) => toPublicEndpoint(endpoint, queueOf.get(endpoint.id))),
      };
    },
  );
  app.get(
    "/api/webhooks/:id",
    {
      schema: {
        summary: "Get a webhook",
        tags,
        params: WebhookParams,
        response: { 200: WebhookAnswer, ...errors },
      },
    },
    async ({ params }) => {
      const { value } = await requireEndpoint(gateway, params.id);
      return { success: true as const, webhook: toPublicEndpoint(value, await queueOf(gateway, params.id)) };
    },
  );
  removalRoute(app, gateway);
  enablingRoute(app, gateway);
  rotationRoute(app, gateway);
}

function removalRoute(app: Routes, gateway: Gateway): void {
  app.delete(
    "/api/webhooks/:id",
    {
      schema: {
        summary: "Delete a webhook",
        description: "Sends nothing more, and deletes the waiting events.",
        tags,
        params: WebhookParams,
        response: { 200: WebhookRemoved, ...errors },
      },
    },
    async ({ params: { id } }) => {
      await removeEndpoint(gateway, id);
      return {
        success: true as const,
        id,
        message: "The webhook is deleted. A delivery in progress may still arrive.",
      };
    },
  );
}

function enablingRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/webhooks/:id/enable",
    {
      schema: {
        summary: "Enable a disabled webhook",
        description:
          "Events that were waiting when the webhook was disabled are delivered. Later events were not stored, and `replay` can't send them either.",
        tags,
        params: WebhookParams,
        response: { 200: WebhookAnswer, ...errors },
      },
    },
    async ({ params: { id } }) => {
      const endpoint = await change(gateway, id, (present) => ({
        ...present,
        generation: present.generation + 1,
      }));
      return { success: true as const, webhook: toPublicEndpoint(endpoint, await queueOf(gateway, id)) };
    },
  );
}

function rotationRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/webhooks/:id/rotate",
    {
      schema: {
        summary: "Rotate the secret of a webhook",
        description:
          "For a day each delivery is signed with both secrets, so that a receiver with either one can verify it. A second rotation within that day invalidates the oldest secret immediately.",
        tags,
        params: WebhookParams,
        response: { 200: WebhookRotated, ...errors },
      },
    },
    async ({ params: { id } }, reply) => {
      const until = new Date(gateway.clock.now() + PREVIOUS_SECRET_MS).toISOString();
      const endpoint = await change(gateway, id, (present) => ({
        ...present,
        secret: newSecret(),
        previous: { secret: present.secret, until },
      }));
      reply.header("Cache-Control", "no-store");
      return {
        success: true as const,
        webhook: toPublicEndpoint(endpoint, await queueOf(gateway, id)),
        secret: endpoint.secret,
        previousUntil: until,
      };
    },
  );
}

async function register(
  gateway: Gateway,
  {
    url,
    events,
    description,
  }: { url: string; events: WebhookEndpoint["events"]; description?: string | undefined },
): Promise<WebhookEndpoint> {
  const { bus, clock, config, tenant } = gateway;
  const refusal = refusalOf(readAllowedTargets(config.GREENROOM_WEBHOOK_ALLOW), url);
  if (refusal !== undefined) {
    throw new GreenroomError(
      "invalid_request",
      `body.url: refused, because ${refusal}. An operator can allow it with GREENROOM_WEBHOOK_ALLOW.`,
    );
  }
  const present = await bus.kv.entries(webhookEndpoints, `${tenant}.>`);
  if (present.length >= ENDPOINTS_MAX) {
    throw new GreenroomError("conflict", `There are already ${ENDPOINTS_MAX} webhooks. Delete one first.`);
  }
  const endpoint: WebhookEndpoint = {
    v: 1,
    tenant,
    id: `wh_${randomToken()}`,
    url,
    secret: newSecret(),
    events: [...new Set(events)],
    ...(description === undefined ? {} : { description }),
    generation: 1,
    createdAt: isoNow(clock),
    writeId: randomToken(),
  };
  await bus.kv.update(webhookEndpoints, endpoint, 0);
  return endpoint;
}

async function removeEndpoint(gateway: Gateway, id: string): Promise<void> {
  const { bus, tenant } = gateway;
  for (let tries = 0; ; tries++) {
    const { key, revision } = await requireEndpoint(gateway, id);
    if (await bus.kv.delete(webhookEndpoints, key, revision)) break;
    if (tries >= TRIES)
      throw new GreenroomError("conflict", "The webhook was changed at the same time. Retry the request.");
  }
  await bus.admin.purge(webhooks, `webhook.${tenant}.${id}.>`);
  await bus.admin.purge(webhookDeliveries, `delivery.${tenant}.${id}.*`);
}

const newSecret = (): string => `whsec_${randomBytes(SECRET_BYTES).toString("base64")}`;

/** @throws GreenroomError not_found, conflict */
async function change(
  gateway: Gateway,
  id: string,
  to: (present: WebhookEndpoint) => WebhookEndpoint,
): Promise<WebhookEndpoint> {
  for (let tries = 0; tries < TRIES; tries++) {
    const { value, revision } = await requireEndpoint(gateway, id);
    const next = { ...to(value), writeId: randomToken() };
    if ((await gateway.bus.kv.update(webhookEndpoints, next, revision)) !== undefined) return next;
  }
  throw new GreenroomError("conflict", "The webhook was changed at the same time. Retry the request.");
}

/** @throws GreenroomError not_found */
export async function requireEndpoint(gateway: Gateway, id: string) {
  const entry = await gateway.bus.kv.get(webhookEndpoints, endpointKey(gateway.tenant, id));
  if (entry === undefined) throw new GreenroomError("not_found", `No webhook "${id}".`);
  return entry;
}

const queueOf = async (gateway: Gateway, id: string): Promise<WebhookQueue | undefined> =>
  (await gateway.bus.kv.get(webhookQueues, endpointKey(gateway.tenant, id)))?.value;

/** The endpoint without its secret. */
function toPublicEndpoint(endpoint: WebhookEndpoint, queue: WebhookQueue | undefined): WebhookState {
  const { id, url, events, description, createdAt } = endpoint;
  const isGone = isDisabled(endpoint, queue);
  const isFailing = (queue?.failures ?? 0) > 0;
  const reason = isGone ? queue?.disabled?.reason : isFailing ? queue?.lastFailure?.reason : undefined;
  return {
    id,
    url,
    events,
    ...(description === undefined ? {} : { description }),
    status: isGone ? "disabled" : isFailing ? "failing" : "active",
    ...(reason === undefined ? {} : { reason }),
    waiting: (queue?.lanes ?? []).reduce((sum, { sequences }) => sum + sequences.length, 0),
    delivered: queue?.delivered ?? 0,
    createdAt,
  };
}
