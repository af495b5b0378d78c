// Records each try to deliver: in the list of deliveries, the dead letters and the metrics.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { deadLetters, webhookDeliveries, webhooks } from "../../libs/contracts/streams.ts";
import type { WebhookDelivery, WebhookMessage } from "../../libs/contracts/webhooks/webhook.ts";
import { isoNow } from "../../libs/runtime/clock.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { Delivered } from "./deliver.ts";
import type { Failed } from "./delivery-plan.ts";

type Result = Pick<WebhookDelivery, "outcome" | "status" | "reason" | "tookMs" | "nextInMs">;
export type CountDelivery = (message: WebhookMessage, result: Result) => void;

export interface DeliveryLogDeps extends ServiceDeps {
  readonly count?: CountDelivery | undefined;
}

/** The time-out is about 10 s; most endpoints answer in a fraction of a second. */
const ANSWER_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function countDeliveries(metrics: Metrics): CountDelivery {
  const tried = metrics.histogram(
    "greenroom_webhook_delivery_seconds",
    "Duration of each try to deliver a webhook. The outcome is delivered, failed (retried) or dead (given up).",
    ["type", "outcome"],
    ANSWER_SECONDS,
  );
  return ({ event: { type } }, { outcome, tookMs }) => tried(tookMs / 1000, { type, outcome });
}

/** Lists a try. A failure to list it does not affect the delivery. */
export async function logDelivery(
  { bus, clock, log, count }: DeliveryLogDeps,
  message: WebhookMessage,
  tries: number,
  result: Result,
): Promise<void> {
  count?.(message, result);
  const { tenant, endpoint, of, event, replay } = message;
  const { id: eventId, type, sequence } = event;
  const at = isoNow(clock);
  await bus.streams
    .publish(webhookDeliveries, {
      ...{ tenant, endpoint, of, eventId, type, sequence, tries, at },
      ...(replay === undefined ? {} : { replay }),
      ...result,
    })
    .catch((error: unknown) => log.debug({ error, event: eventId }, "failed to list a delivery"));
}

/** Stores a dead letter, which an operator can replay. */
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
      reason: `Delivery failed: ${reason}`,
      deliveries: tries,
      at: isoNow(clock),
      payload: JSON.stringify(message.event).slice(0, 16_384),
    })
    .catch((error: unknown) => log.warn({ error, event: message.event.id }, "failed to store a dead letter"));
}

export const failedResult = (
  delivered: Exclude<Delivered, { outcome: "delivered" }>,
  then: Failed,
  tookMs: number,
): Result => ({
  outcome: then.becomes,
  ...(delivered.status === undefined ? {} : { status: delivered.status }),
  reason: delivered.reason.slice(0, 300),
  tookMs,
  ...(then.becomes === "failed" ? { nextInMs: then.nextInMs } : {}),
});
