// A client of the HTTP API for one tenant, which records every answer that it reads.
import type { Looked } from "./evidence.ts";

// biome-ignore lint/suspicious/noExplicitAny: the run reads answers of any shape.
type Json = any;

export interface Answer {
  /** 0 without an answer. */
  readonly status: number;
  readonly body: Json;
}

/** The longest time that a client waits for an answer. */
export const CLIENT_TIMEOUT_MS = 12_000;

export class ApiClient {
  readonly looked: Looked[] = [];
  readonly tenant: string;
  readonly #urls: readonly string[];

  /** @param urls the addresses of the tenant's gateways */
  constructor(tenant: string, urls: readonly string[]) {
    this.tenant = tenant;
    this.#urls = urls;
  }

  async post(gateway: number, path: string, body: object, key?: string): Promise<Answer> {
    const headers = {
      "content-type": "application/json",
      ...(key === undefined ? {} : { "idempotency-key": key }),
    };
    return await this.#ask(gateway, path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /** @param as the canary of the reader */
  async get(gateway: number, path: string, as = this.tenant): Promise<Answer> {
    const answer = await this.#ask(gateway, path, {});
    this.looked.push({ as, path, text: JSON.stringify(answer.body) ?? "" });
    return answer;
  }

  async #ask(gateway: number, path: string, init: RequestInit): Promise<Answer> {
    try {
      const url = this.#urls[gateway % this.#urls.length] + path;
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(CLIENT_TIMEOUT_MS) });
      return { status: response.status, body: await response.json() };
    } catch {
      return { status: 0, body: undefined };
    }
  }
}
