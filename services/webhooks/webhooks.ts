// The webhooks service: follows sessions, calls and tasks, and delivers their events to endpoints.
import type { Ack } from "../../libs/bus/bus.ts";
import { sessions, tasks } from "../../libs/contracts/buckets.ts";
import type { CallRecord } from "../../libs/contracts/calls/call.ts";
import { isError } from "../../libs/contracts/errors.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { calls, webhooks } from "../../libs/contracts/streams.ts";
import type { WebhookEvent } from "../../libs/contracts/webhooks/webhook.ts";
import { enqueue, type WebhookEvents } from "./enqueue.ts";
import { QueueOwner, type QueueOwnerDeps } from "./queue-owner.ts";
import { callEvent, callSequenceOf, sessionEventsFor } from "./session-events.ts";
import { taskEventsFor } from "./task-events.ts";

const CONCURRENCY = 64;
/** After this number of failed deliveries, a message becomes a dead letter. */
const DELIVERIES_MAX = 1000;
const durable = {
  durable: "webhooks",
  description: "Webhooks service: queues events for endpoints.",
  concurrency: CONCURRENCY,
  maxDeliveries: DELIVERIES_MAX,
};

export interface Webhooks {
  stop(): Promise<void>;
}

/** The instances share the work, and doing it twice is harmless. */
export async function startWebhooks(deps: QueueOwnerDeps): Promise<Webhooks> {
  const { bus } = deps;
  // Before any event arrives, the endpoints have to be known.
  const queues = await QueueOwner.start(deps);
  const publish = async (events: WebhookEvents): Promise<Ack> => {
    await enqueue(
      { bus, endpointsOf: (tenant) => queues.endpointsOf(tenant), queued: (to) => queues.queued(to) },
      events,
    );
    return "ack";
  };
  const hasEndpoints = (tenant: string) => queues.endpointsOf(tenant).length > 0;
  const stops = await Promise.all([
    bus.kv.consume(sessions, durable, async ({ value }) =>
      value === undefined ? "ack" : publish(eventsOfSession(value)),
    ),
    bus.kv.consume(tasks, durable, async ({ value }) =>
      value === undefined ? "ack" : publish(taskEventsFor(value)),
    ),
    bus.streams.consume(calls, durable, async (call) =>
      hasEndpoints(call.tenant) ? publish(await eventsOfCall(deps, queues, call)) : "ack",
    ),
  ]);
  return {
    async stop() {
      for (const stop of stops) await stop();
      await queues.stop();
    },
  };
}

const eventsOfSession = (record: SessionRecord): WebhookEvents => ({
  tenant: record.tenant,
  about: "session",
  of: record.sessionId,
  events: sessionEventsFor(record),
});

/** The event of a call record comes last, so the session's other events are added before it. */
async function eventsOfCall(
  { bus, log }: QueueOwnerDeps,
  queues: QueueOwner,
  call: CallRecord,
): Promise<WebhookEvents> {
  const { tenant, sessionId } = call;
  const record = await bus.kv.get(sessions, sessionKey(call)).catch((error: unknown) => {
    if (isError(error, "unreadable_record")) return undefined;
    throw error;
  });
  if (record !== undefined) {
    const events = [...sessionEventsFor(record.value), callEvent(call, callSequenceOf(record.value))];
    return { tenant, about: "session", of: sessionId, events };
  }
  // The session was purged, a day after its end. The call follows the stored event of the end.
  for (const { id: endpoint } of queues.endpointsOf(tenant)) {
    const subject = `webhook.${tenant}.${endpoint}.${sessionId}.>`;
    const stored = await bus.streams.read(webhooks, { subject, limit: 100 });
    const end = stored.find(({ message }) => message.event.type === "session.ended");
    if (end === undefined) continue;
    const events: WebhookEvent[] = [callEvent(call, end.message.event.sequence + 1)];
    return { tenant, about: "session", of: sessionId, events };
  }
  log.warn({ sessionId, tenant }, "published no webhook for a call whose session is gone");
  return { tenant, about: "session", of: sessionId, events: [] };
}
