// Enqueues events for the endpoints that want them, each once, even if several instances do so repeatedly.
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
  /** All events of it up to now, in order. */
  readonly events: readonly WebhookEvent[];
}

/**
 * The events of a session are stored in order, so the newest stored one tells which are missing. When two instances
 * store the same event at once, its id makes the second one a duplicate.
 * @throws GreenroomError storage_full, storage_unavailable
 */
export async function enqueue(
  deps: EnqueueDeps,
  { tenant, about, of, events }: WebhookEvents,
): Promise<void> {
  if (events.length === 0) return;
  for (const endpoint of deps.endpointsOf(tenant)) {
    const wanted = events.filter(({ type }) => isWanted(endpoint.events, type));
    const missing = await missingEvents(deps.bus, { tenant, endpoint: endpoint.id, of }, about, wanted);
    for (const event of missing) {
      const message: WebhookMessage = { tenant, endpoint: endpoint.id, about, of, event };
      await deps.bus.streams.publish(webhooks, message);
    }
    if (missing.length > 0) deps.queued(endpoint);
  }
}

async function missingEvents(
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
