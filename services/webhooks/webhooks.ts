// Webhooks that we send: follows sessions, calls and tasks, tells the endpoints, and sees that they are told.
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

const AT_ONCE = 64;
/** The store may be away for longer than this; then what wasn't told goes to the dead letters. */
const DELIVERIES_MAX = 1000;
const durable = { durable: "webhooks", concurrency: AT_ONCE, maxDeliveries: DELIVERIES_MAX };

export interface Webhooks {
  stop(): Promise<void>;
}

/** All instances share the work, and what two of them do at the same time comes to the same. */
export async function startWebhooks(deps: QueueOwnerDeps): Promise<Webhooks> {
  const { bus } = deps;
  // Before any event arrives, the endpoints have to be known.
  const queues = await QueueOwner.start(deps);
  const say = async (news: WebhookEvents): Promise<Ack> => {
    await enqueue(
      { bus, endpointsOf: (tenant) => queues.endpointsOf(tenant), queued: (to) => queues.queued(to) },
      news,
    );
    return "ack";
  };
  const hasEndpoints = (tenant: string) => queues.endpointsOf(tenant).length > 0;
  const stops = await Promise.all([
    bus.kv.consume(sessions, durable, async ({ value }) =>
      value === undefined ? "ack" : say(newsOfSession(value)),
    ),
    bus.kv.consume(tasks, durable, async ({ value }) =>
      value === undefined ? "ack" : say(taskEventsFor(value)),
    ),
    bus.streams.consume(calls, durable, async (call) =>
      hasEndpoints(call.tenant) ? say(await newsOfCall(deps, queues, call)) : "ack",
    ),
  ]);
  return {
    async stop() {
      for (const stop of stops) await stop();
      await queues.stop();
    },
  };
}

const newsOfSession = (record: SessionRecord): WebhookEvents => ({
  tenant: record.tenant,
  about: "session",
  of: record.sessionId,
  events: sessionEventsFor(record),
});

/** The call is told last, behind all that its session has to tell; that is put in front of it here. */
async function newsOfCall(
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
  // The record was purged meanwhile, a day after the end: its number is the one after the end that was told.
  for (const { id: endpoint } of queues.endpointsOf(tenant)) {
    const subject = `webhook.${tenant}.${endpoint}.${sessionId}.>`;
    const told = await bus.streams.read(webhooks, { subject, limit: 100 });
    const end = told.find(({ message }) => message.event.type === "session.ended");
    if (end === undefined) continue;
    const events: WebhookEvent[] = [callEvent(call, end.message.event.sequence + 1)];
    return { tenant, about: "session", of: sessionId, events };
  }
  log.warn({ sessionId, tenant }, "a call is not told to webhooks: its session's record is gone");
  return { tenant, about: "session", of: sessionId, events: [] };
}
