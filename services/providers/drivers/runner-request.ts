// Requests an agent from a remote agent runner by one signed HTTP request, and interprets the answer.
import { Webhook } from "standardwebhooks";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";

/** The route of launch requests. It is the same for every caller, so that a runner needs one route only. */
const PATH = "/runtime/agent-sessions/launch";
const WORDS_MAX = 200;

export interface LaunchRequest {
  readonly url: string;
  /** The same for a repeated request, so that the runner can recognize it. */
  readonly id: string;
  readonly body: object;
  /** Each one signs the request; there are two during a rotation. */
  readonly secrets: readonly string[];
  /** The time stamp of the signature. */
  readonly now: Date;
  readonly timeoutMs: number;
  /** Aborts the request, which may be repeated. */
  readonly signal?: AbortSignal;
}

export type LaunchReply =
  | { readonly is: "taken" }
  /** A repeated request would be refused again. */
  | { readonly is: "refused"; readonly reason: string }
  /** The runner could not accept it now, or the answer was lost. A repeat is harmless. */
  | { readonly is: "failed"; readonly reason: string; readonly retryAfterMs?: number };

/** The 4xx codes that mean "not now". */
const NOT_NOW = new Set([408, 425, 429]);

export async function requestLaunch(request: LaunchRequest, ask: typeof fetch = fetch): Promise<LaunchReply> {
  const body = JSON.stringify(request.body);
  try {
    const response = await ask(request.url, {
      method: "POST",
      headers: { "content-type": "application/json", ...signed(request, body) },
      body,
      // A signed request is meant for this address only.
      redirect: "manual",
      signal: AbortSignal.any([
        AbortSignal.timeout(request.timeoutMs),
        ...(request.signal === undefined ? [] : [request.signal]),
      ]),
    });
    return await meaningOf(response, request.url);
  } catch (error) {
    return { is: "failed", reason: `Request to ${request.url} failed: ${causeOf(error)}` };
  }
}

/** The address of launch requests, from a runner's base address or the full one. */
export function launchUrlOf(base: string): string {
  const url = new URL(base);
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith(PATH) ? path : path + PATH;
  return url.href;
}

/** Standard Webhooks (standardwebhooks.com): the id, the time and the body, signed with each secret. */
function signed({ id, now, secrets }: LaunchRequest, body: string): Record<string, string> {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
    "webhook-signature": secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(" "),
  };
}

async function meaningOf(response: Response, url: string): Promise<LaunchReply> {
  const { status } = response;
  if (status >= 200 && status < 300) {
    await response.body?.cancel();
    return { is: "taken" };
  }
  if (status >= 300 && status < 400) {
    await response.body?.cancel();
    return {
      is: "refused",
      reason: `${url} answered ${status}: redirects are not followed, so configure the target address instead`,
    };
  }
  const reason = `${url} answered ${status}${await wordsOf(response)}`;
  if (status < 500 && !NOT_NOW.has(status)) return { is: "refused", reason };
  const retryAfterMs = retryAfterOf(response.headers.get("retry-after"));
  return { is: "failed", reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** The beginning of the answer. The rest is not read. */
async function wordsOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  let bytes = Buffer.alloc(0);
  try {
    while (bytes.length < WORDS_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes = Buffer.concat([bytes, value]);
    }
  } catch {
    // The part that was read is better than nothing.
  }
  await reader.cancel().catch(() => {});
  const words = redactTokens(bytes.toString("utf8")).replace(/\s+/g, " ").trim().slice(0, WORDS_MAX);
  return words === "" ? "" : `: ${words}`;
}

/** In seconds only: a date would compare two machines' clocks (I7). */
function retryAfterOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** Node's fetch only reports "fetch failed"; the reason is in the cause. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join("; ");
  const code = (cause as { code?: unknown } | undefined)?.code;
  const message = messageOf(cause ?? error);
  return typeof code === "string" && !message.includes(code) ? `${code} ${message}` : message;
}
