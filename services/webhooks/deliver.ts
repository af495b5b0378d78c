// Sends one delivery as a request signed by Standard Webhooks, and interprets the answer.
import { Webhook } from "standardwebhooks";
import type { WebhookEndpoint, WebhookMessage } from "../../libs/contracts/webhooks/webhook.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import { readAllowedTargets } from "../../libs/runtime/url-guard.ts";
import { type Posted, post } from "./post.ts";

/** Sends a body; a test replaces it. */
export type Send = (url: string, body: string, headers: Readonly<Record<string, string>>) => Promise<Posted>;

export type Delivered =
  | { readonly outcome: "delivered"; readonly status: number }
  /** The endpoint answered that it is gone for good. */
  | { readonly outcome: "gone"; readonly status: number; readonly reason: string }
  | {
      readonly outcome: "failed";
      readonly status?: number;
      readonly reason: string;
      readonly retryAfterMs?: number;
    };

/** Sends over the network, to public addresses and those that the setting allows. */
export function sendTo(allow: string | undefined, timeoutMs: number): Send {
  const allowed = readAllowedTargets(allow);
  return (url, body, headers) => post(url, body, headers, { allowed, timeoutMs });
}

/** Makes one try to deliver a message. Never throws. */
export async function deliver(
  { send, clock }: { readonly send: Send; readonly clock: Clock },
  endpoint: Pick<WebhookEndpoint, "url" | "secret" | "previous">,
  { event }: WebhookMessage,
): Promise<Delivered> {
  const body = JSON.stringify(event);
  const at = new Date(clock.now());
  const posted = await send(endpoint.url, body, {
    "content-type": "application/json",
    "user-agent": "Greenroom-Webhooks/1",
    "webhook-id": event.id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    // A receiver accepts the request if one signature matches.
    "webhook-signature": secretsOf(endpoint, at)
      .map((secret) => new Webhook(secret).sign(event.id, at, body))
      .join(" "),
  });
  return meaningOf(posted);
}

const secretsOf = ({ secret, previous }: Pick<WebhookEndpoint, "secret" | "previous">, at: Date): string[] =>
  previous !== undefined && at.getTime() < Date.parse(previous.until) ? [secret, previous.secret] : [secret];

/** 2xx is a delivery, 410 disables the endpoint, and anything else is retried. */
export function meaningOf(posted: Posted): Delivered {
  if (posted.status === undefined) return { outcome: "failed", reason: posted.reason };
  const { status, retryAfterMs } = posted;
  if (status >= 200 && status < 300) return { outcome: "delivered", status };
  if (status === 410) return { outcome: "gone", status, reason: "the endpoint answered 410 Gone" };
  const reason =
    status >= 300 && status < 400
      ? `the endpoint answered ${status}: redirects are not followed, so register the target address instead`
      : `the endpoint answered ${status}`;
  return { outcome: "failed", status, reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}
