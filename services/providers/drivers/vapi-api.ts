// A client for the used part of VAPI's HTTP API, with its rate limits and what a missing answer means.
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import { VapiCall } from "./vapi-status.ts";

export interface VapiAccount {
  /** For example https://api.vapi.ai */
  readonly url: string;
  /** The private key, which appears in no message and no log line. */
  readonly key: string;
  readonly clock: Clock;
  /** How long an answer may take, in ms. */
  readonly answerMs: number;
}

/** `refused`: certainly no call was made. `unconfirmed`: a call may have been made. */
export type Created =
  | { readonly is: "created"; readonly call: VapiCall }
  | { readonly is: "refused"; readonly reason: string; readonly retryable: boolean }
  | { readonly is: "unconfirmed"; readonly reason: string };

/** VAPI's page size, and the number of pages that are searched for a call. */
const PAGE = 1000;
const PAGES_MAX = 10;
/** The longest pause by VAPI's Retry-After, in ms. */
const REST_MAX_MS = 60_000;
const REST_MS = 1000;
const DESCRIPTION_MAX = 240;

/** Errors of a connection that was never made, so no byte of the request was sent. */
const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** VAPI's error message. */
  readonly description: string;
}

export class VapiApi {
  readonly #account: VapiAccount;
  /** The end of the pause that VAPI asked for, on the monotonic clock. */
  #restUntilMs = 0;

  constructor(account: VapiAccount) {
    this.#account = account;
  }

  /** Requests a call. The request is never repeated. */
  async create(body: unknown): Promise<Created> {
    const restMs = this.#restMs();
    if (restMs > 0) return { is: "refused", reason: restingFor(restMs), retryable: true };
    let answer: Answer;
    try {
      answer = await this.#ask("POST", "/call", body);
    } catch (error) {
      const reason = `Request to VAPI failed: ${reasonOf(error)}`;
      return wasNeverSent(error) ? { is: "refused", reason, retryable: true } : { is: "unconfirmed", reason };
    }
    const { status, description } = answer;
    if (status >= 200 && status < 300) {
      const call = VapiCall.safeParse(answer.body);
      if (call.success) return { is: "created", call: call.data };
      return {
        is: "unconfirmed",
        reason: `VAPI answered ${status} without a readable call`,
      };
    }
    if (status === 429)
      return { is: "refused", reason: `VAPI refused the call: 429 ${description}`, retryable: true };
    // A redirect is not followed, since it would pass the key on.
    if (status >= 300 && status < 500)
      return { is: "refused", reason: `VAPI refused the call: ${status} ${description}`, retryable: false };
    return { is: "unconfirmed", reason: `VAPI failed with ${status} ${description}` };
  }

  /** @returns undefined when there is no such call. @throws GreenroomError provider_unavailable */
  async get(id: string): Promise<VapiCall | undefined> {
    const answer = await this.#asked("GET", `/call/${encodeURIComponent(id)}`, `reading call ${id}`);
    if (answer.status === 404) return undefined;
    return readable(VapiCall, answer, `reading call ${id}`);
  }

  /**
   * Finds a call by its name among those made since a time.
   * @throws GreenroomError provider_unavailable
   */
  async find(
    name: string,
    { since, assistantId }: { since: string; assistantId: string },
  ): Promise<VapiCall | undefined> {
    let before: string | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      const query = new URLSearchParams({ assistantId, createdAtGe: since, limit: String(PAGE) });
      if (before !== undefined) query.set("createdAtLt", before);
      const answer = await this.#asked("GET", `/call?${query}`, "listing calls");
      const calls = readable(VapiCall.array(), answer, "listing calls");
      const found = calls.find((call) => call.name === name);
      if (found !== undefined || calls.length < PAGE) return found;
      const oldest = calls.map(({ createdAt }) => createdAt ?? "").sort()[0];
      if (!oldest || oldest === before) return undefined;
      before = oldest;
    }
    return undefined;
  }

  /**
   * Ends a live call through its control URL, without the key.
   * @returns false when VAPI accepts no command, for example before the call is live
   */
  async hangUp(controlUrl: string): Promise<boolean> {
    const target = controlTarget(controlUrl, this.#account.url);
    if (target === undefined) return false;
    try {
      const response = await fetch(target, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ type: "end-call" }),
        redirect: "manual",
        signal: AbortSignal.timeout(this.#account.answerMs),
      });
      await response.body?.cancel();
      return response.ok;
    } catch (error) {
      throw unavailable(`ending a call: ${reasonOf(error)}`, error);
    }
  }

  /** Takes back a call that hasn't begun. @throws GreenroomError provider_unavailable */
  async delete(id: string): Promise<void> {
    const answer = await this.#asked("DELETE", `/call/${encodeURIComponent(id)}`, `deleting call ${id}`, {});
    if (answer.status === 404 || (answer.status >= 200 && answer.status < 300)) return;
    throw unavailable(`deleting call ${id}: VAPI answered ${answer.status} ${answer.description}`);
  }

  async #asked(method: string, path: string, doing: string, body?: unknown): Promise<Answer> {
    const restMs = this.#restMs();
    if (restMs > 0) throw unavailable(`${doing}: ${restingFor(restMs)}`);
    try {
      return await this.#ask(method, path, body);
    } catch (error) {
      throw unavailable(`${doing}: ${reasonOf(error)}`, error);
    }
  }

  async #ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const { answerMs, key, url } = this.#account;
    const response = await fetch(`${url.replace(/\/+$/, "")}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: "manual",
      signal: AbortSignal.timeout(answerMs),
    });
    if (response.status === 429 || response.status === 503) this.#rest(response.headers.get("retry-after"));
    const text = await response.text();
    const parsed = parse(text);
    return { status: response.status, body: parsed, description: wordsOf(parsed, text) };
  }

  #restMs(): number {
    return Math.max(0, this.#restUntilMs - this.#account.clock.monotonic());
  }

  /** Retry-After is a number of seconds, or a date on VAPI's clock. A wrong clock only changes the pause. */
  #rest(retryAfter: string | null): void {
    const { clock } = this.#account;
    const seconds = Number(retryAfter ?? Number.NaN);
    const dated = Date.parse(retryAfter ?? "") - clock.now();
    const ms = Number.isFinite(seconds) ? seconds * 1000 : Number.isFinite(dated) ? dated : REST_MS;
    this.#restUntilMs = clock.monotonic() + Math.min(REST_MAX_MS, Math.max(0, ms));
  }
}

const restingFor = (ms: number): string => `VAPI's rate limit lasts for another ${(ms / 1000).toFixed(1)} s`;

const unavailable = (doing: string, cause?: unknown): GreenroomError =>
  new GreenroomError("provider_unavailable", `${doing}.`, cause === undefined ? {} : { cause });

function readable<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } },
  answer: Answer,
  doing: string,
): T {
  const { status, description } = answer;
  if (status < 200 || status >= 300) throw unavailable(`${doing}: VAPI answered ${status} ${description}`);
  const parsed = schema.safeParse(answer.body);
  if (!parsed.success) throw unavailable(`${doing}: VAPI's answer is unreadable`);
  return parsed.data;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** VAPI puts its error into `message`, a text or a list of texts. */
function wordsOf(body: unknown, text: string): string {
  const { message } = (body ?? {}) as { message?: unknown };
  const words = Array.isArray(message) ? message.join("; ") : typeof message === "string" ? message : text;
  return words.replace(/\s+/g, " ").slice(0, DESCRIPTION_MAX);
}

/** fetch puts the error code into the cause. */
const codeOf = (error: unknown): string | undefined => (error as { cause?: { code?: string } }).cause?.code;

const wasNeverSent = (error: unknown): boolean => NEVER_SENT.has(codeOf(error) ?? "");

function reasonOf(error: unknown): string {
  if ((error as { name?: string }).name === "TimeoutError") return "no answer came in time";
  const cause = (error as { cause?: unknown }).cause;
  return cause === undefined ? messageOf(error) : (codeOf(error) ?? messageOf(cause));
}

/** The control URL of a call, unless it would replace TLS by plain HTTP. */
function controlTarget(controlUrl: string, apiUrl: string): URL | undefined {
  // The example in VAPI's documentation has angle brackets.
  const bare = controlUrl.replace(/^<|>$/g, "");
  if (!URL.canParse(bare)) return undefined;
  const target = new URL(bare);
  const isSafe =
    target.protocol === "https:" || (target.protocol === "http:" && new URL(apiUrl).protocol === "http:");
  return isSafe ? target : undefined;
}
