// Puts news into the queues of the endpoints that want it, each once, however often and by whomever it is told.
import type { Bus } from "../../libs/bus/bus.ts";
import { webhooks } from "../../libs/contracts/streams.ts";
import {
  isWanted,
  type WebhookAbout,
  type WebhookEndpoint,
  type WebhookEvent,
  type WebhookMessage,
  webhookSubject,
} from "../../libs/contracts/webhooks/webhook.ts";

export interface EnqueueDeps {
  readonly bus: Bus;
  readonly endpointsOf: (tenant: string) => readonly WebhookEndpoint[];
  readonly queued: (endpoint: WebhookEndpoint) => void;
}

export interface WebhookEvents {
  readonly tenant: string;
  readonly about: WebhookAbout;
  /** The id of the session or task. */
  readonly of: string;
  /** All that is to be told of it up to now, in order. */
  readonly events: readonly WebhookEvent[];
}

/**
 * What was told before is known by its place in the stream: it is looked for from the newest backwards, since they are
 * stored one after the other. Two instances that store the same one at the same time store it once, by its id.
 * @throws GreenroomError storage_full, storage_unavailable
 */
export async function enqueue(
  deps: EnqueueDeps,
  { tenant, about, of, events }: WebhookEvents,
): Promise<void> {
  if (events.length === 0) return;
  for (const endpoint of deps.endpointsOf(tenant)) {
    const wanted = events.filter(({ type }) => isWanted(endpoint.events, type));
    const untold = await untoldOf(deps.bus, { tenant, endpoint: endpoint.id, of }, about, wanted);
    for (const event of untold) {
      const message: WebhookMessage = { tenant, endpoint: endpoint.id, about, of, event };
      await deps.bus.streams.publish(webhooks, message);
    }
    if (untold.length > 0) deps.queued(endpoint);
  }
}

async function untoldOf(
  bus: Bus,
  to: { readonly tenant: string; readonly endpoint: string; readonly of: string },
  about: WebhookAbout,
  wanted: readonly WebhookEvent[],
): Promise<readonly WebhookEvent[]> {
  for (let count = wanted.length; count > 0; count--) {
    const { sequence } = wanted[count - 1] as WebhookEvent;
    const [stored] = await bus.streams.read(webhooks, {
      subject: webhookSubject(to, about, sequence),
      limit: 1,
      order: "newest-first",
    });
    if (stored !== undefined) return wanted.slice(count);
  }
  return wanted;
}
