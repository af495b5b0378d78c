// Asks an agent runner elsewhere to start an agent: one signed HTTP request, and what its answer means.
import { Webhook } from "standardwebhooks";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";

/** Where runners are asked: by everybody the same, so that one serves all its callers on one route. */
const PATH = "/runtime/agent-sessions/launch";
const WORDS_MAX = 200;

export interface LaunchRequest {
  readonly url: string;
  /** Equal for a repeat, by which the runner knows that it has it already. */
  readonly id: string;
  readonly body: object;
  /** Each signs it: two of them while one takes the place of the other. */
  readonly secrets: readonly string[];
  /** For the signature's time stamp. */
  readonly now: Date;
  readonly timeoutMs: number;
  /** Breaks the request off; it may be sent again. */
  readonly signal?: AbortSignal;
}

export type LaunchReply =
  | { readonly is: "taken" }
  /** It said no, and would say it again. */
  | { readonly is: "refused"; readonly reason: string }
  /** It couldn't now, or nobody knows: worth a repeat, which is the same to it. */
  | { readonly is: "failed"; readonly reason: string; readonly retryAfterMs?: number };

/** These say "not now" though they begin with a 4. */
const NOT_NOW = new Set([408, 425, 429]);

export async function requestLaunch(request: LaunchRequest, ask: typeof fetch = fetch): Promise<LaunchReply> {
  const body = JSON.stringify(request.body);
  try {
    const response = await ask(request.url, {
      method: "POST",
      headers: { "content-type": "application/json", ...signed(request, body) },
      body,
      // A signed request is for whom it was made for, and nobody else.
      redirect: "manual",
      signal: AbortSignal.any([
        AbortSignal.timeout(request.timeoutMs),
        ...(request.signal === undefined ? [] : [request.signal]),
      ]),
    });
    return await meaningOf(response, request.url);
  } catch (error) {
    return { is: "failed", reason: `${request.url} can't be asked: ${causeOf(error)}` };
  }
}

/** The address to ask, of a runner's base address or of the whole one. */
export function launchUrlOf(base: string): string {
  const url = new URL(base);
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith(PATH) ? path : path + PATH;
  return url.href;
}

/** See standardwebhooks.com: the id, the time and the body, signed with each secret. */
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
      reason: `${url} answered ${status}: a launch follows no redirect, so name the address that it leads to`,
    };
  }
  const reason = `${url} answered ${status}${await wordsOf(response)}`;
  if (status < 500 && !NOT_NOW.has(status)) return { is: "refused", reason };
  const retryAfterMs = retryAfterOf(response.headers.get("retry-after"));
  return { is: "failed", reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** The beginning of what it says; never more than that is read. */
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
    // It broke off; what was read so far is better than nothing.
  }
  await reader.cancel().catch(() => {});
  const words = redactTokens(bytes.toString("utf8")).replace(/\s+/g, " ").trim().slice(0, WORDS_MAX);
  return words === "" ? "" : `: ${words}`;
}

/** In seconds only: a date would compare its clock with ours. */
function retryAfterOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** Node's fetch says "fetch failed" and keeps the reason for itself. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join("; ");
  const code = (cause as { code?: unknown } | undefined)?.code;
  const message = messageOf(cause ?? error);
  return typeof code === "string" && !message.includes(code) ? `${code} ${message}` : message;
}
