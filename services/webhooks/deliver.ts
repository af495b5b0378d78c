// One delivery: the signed request as Standard Webhooks has it, and what its answer means.
import { Webhook } from "standardwebhooks";
import type { WebhookEndpoint, WebhookMessage } from "../../libs/contracts/webhooks/webhook.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import { readAllowedTargets } from "../../libs/runtime/url-guard.ts";
import { type Posted, post } from "./post.ts";

/** Sends a body; `post` does, and tests give another. */
export type Send = (url: string, body: string, headers: Readonly<Record<string, string>>) => Promise<Posted>;

export type Delivered =
  | { readonly outcome: "taken"; readonly status: number }
  /** The endpoint says that it is gone for good. */
  | { readonly outcome: "gone"; readonly status: number; readonly reason: string }
  | {
      readonly outcome: "failed";
      readonly status?: number;
      readonly reason: string;
      readonly retryAfterMs?: number;
    };

/** Over the network, to public addresses and those that a setting allows. */
export function sendTo(allow: string | undefined, timeoutMs: number): Send {
  const allowed = readAllowedTargets(allow);
  return (url, body, headers) => post(url, body, headers, { allowed, timeoutMs });
}

/** Delivers one message once. It never throws. */
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
    // A receiver takes it when one of them is right.
    "webhook-signature": secretsOf(endpoint, at)
      .map((secret) => new Webhook(secret).sign(event.id, at, body))
      .join(" "),
  });
  return meaningOf(posted);
}

const secretsOf = (
  { secret, previous: former }: Pick<WebhookEndpoint, "secret" | "previous">,
  at: Date,
): string[] =>
  former !== undefined && at.getTime() < Date.parse(former.until) ? [secret, former.secret] : [secret];

/** 2xx is taken, 410 is the end of the endpoint, and everything else is tried again. */
export function meaningOf(posted: Posted): Delivered {
  if (posted.status === undefined) return { outcome: "failed", reason: posted.reason };
  const { status, retryAfterMs } = posted;
  if (status >= 200 && status < 300) return { outcome: "taken", status };
  if (status === 410) return { outcome: "gone", status, reason: "it answered 410 Gone" };
  const reason =
    status >= 300 && status < 400
      ? `it answered ${status}: redirects are not followed, so register the address that it leads to`
      : `it answered ${status}`;
  return { outcome: "failed", status, reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}
