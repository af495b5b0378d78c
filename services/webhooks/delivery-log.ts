// What is noted of each try to deliver: for the list of deliveries, the dead letters and the metrics.
import type { Bus } from "../../libs/bus/bus.ts";
import { deadLetters, webhookDeliveries, webhooks } from "../../libs/contracts/streams.ts";
import type { WebhookDelivery, WebhookMessage } from "../../libs/contracts/webhooks/webhook.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { Delivered } from "./deliver.ts";
import type { Failed } from "./delivery-plan.ts";

type How = Pick<WebhookDelivery, "outcome" | "status" | "reason" | "tookMs" | "nextInMs">;
export type CountDelivery = (message: WebhookMessage, how: How) => void;

export interface DeliveryLogDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly count?: CountDelivery | undefined;
}

/** Endpoints are held to 10 s or so; most answer in a fraction of a second. */
const ANSWER_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function countDeliveries(metrics: Metrics): CountDelivery {
  const tried = metrics.histogram(
    "greenroom_webhook_delivery_seconds",
    "How long each try to deliver a webhook took; outcome is delivered, failed (it is tried again) or dead (given up).",
    ["type", "outcome"],
    ANSWER_SECONDS,
  );
  return ({ event: { type } }, { outcome, tookMs }) => tried(tookMs / 1000, { type, outcome });
}

/** Lists a try. What can't be listed is delivered all the same. */
export async function logDelivery(
  { bus, clock, log, count }: DeliveryLogDeps,
  message: WebhookMessage,
  tries: number,
  how: How,
): Promise<void> {
  count?.(message, how);
  const { tenant, endpoint, of, event, replay } = message;
  const { id: eventId, type, sequence } = event;
  const at = isoNow(clock);
  await bus.streams
    .publish(webhookDeliveries, {
      ...{ tenant, endpoint, of, eventId, type, sequence, tries, at },
      ...(replay === undefined ? {} : { replay }),
      ...how,
    })
    .catch((error: unknown) => log.debug({ error, event: eventId }, "a delivery is not listed"));
}

/** Puts what is given up into the dead letters, from where a person may have it told again. */
export async function deadLetterDelivery(
  { bus, clock, log }: DeliveryLogDeps,
  sequence: number,
  message: WebhookMessage,
  tries: number,
  reason: string,
): Promise<void> {
  await bus.streams
    .publish(deadLetters, {
      subject: webhooks.subjectOf(message),
      stream: webhooks.stream,
      sequence,
      reason: `it could not be delivered: ${reason}`,
      deliveries: tries,
      at: isoNow(clock),
      payload: JSON.stringify(message.event).slice(0, 16_384),
    })
    .catch((error: unknown) => log.warn({ error, event: message.event.id }, "a dead letter is lost"));
}

export const howItFailed = (
  delivered: Exclude<Delivered, { outcome: "taken" }>,
  then: Failed,
  tookMs: number,
): How => ({
  outcome: then.becomes,
  ...(delivered.status === undefined ? {} : { status: delivered.status }),
  reason: delivered.reason.slice(0, 300),
  tookMs,
  ...(then.becomes === "failed" ? { nextInMs: then.nextInMs } : {}),
});
