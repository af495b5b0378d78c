// A stand-in for VAPI: calls are created, listed, read, ended and deleted as documented.
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const VAPI_KEY = "stand-in-key";

/** The documented fields of VAPI's Call object that Greenroom reads. */
export interface StandInCall {
  readonly id: string;
  readonly orgId: string;
  readonly type: "outboundPhoneCall";
  readonly createdAt: string;
  readonly assistantId: string;
  readonly phoneNumberId: string;
  readonly customer: { readonly number: string; readonly numberE164CheckEnabled?: boolean };
  readonly name?: string;
  readonly assistantOverrides?: Record<string, unknown>;
  updatedAt: string;
  startedAt?: string;
  endedAt?: string;
  endedReason?: string;
  endedMessage?: string;
  status: "scheduled" | "queued" | "ringing" | "in-progress" | "forwarding" | "ended";
  monitor?: { controlUrl?: string };
}

/** A failure of the next request of a kind. */
type Mishap =
  /** The request is executed, and the connection is cut before the answer. */
  | { readonly is: "lost answer" }
  /** The connection is cut, and the request is not executed. */
  | { readonly is: "cut" }
  /** The request is executed after a delay. */
  | { readonly is: "slow"; readonly ms: number }
  /** The request gets this answer and is not executed. */
  | {
      readonly is: "answer";
      readonly status: number;
      readonly body: unknown;
      readonly headers?: Record<string, string>;
    };

export interface VapiStandIn {
  readonly url: string;
  readonly calls: StandInCall[];
  /** Every received request, for example "POST /call". */
  readonly requests: string[];
  /** The number of requests without a valid key. */
  refused(): number;
  /** Adds failures to a route: `POST /call`, `GET /call`, `GET /call/:id`, `POST /control`, `DELETE /call/:id`. */
  next(route: string, ...mishaps: Mishap[]): void;
  /** Moves a call to a status, like its telephone does. */
  move(id: string, status: StandInCall["status"], endedReason?: string): StandInCall;
  /** Makes new calls without a control address. */
  withoutControl(): void;
  /** Hides calls from lists until they are this old, in ms. */
  listAfter(ms: number): void;
  close(): Promise<void>;
}

const CREATE_FIELDS = new Set([
  "assistantVersion",
  "transport",
  "customers",
  "name",
  "schedulePlan",
  "assistantId",
  "assistant",
  "assistantOverrides",
  "squadId",
  "squad",
  "squadOverrides",
  "workflowId",
  "workflow",
  "workflowOverrides",
  "phoneNumberId",
  "phoneNumber",
  "customerId",
  "customer",
]);
const LIST_MAX = 1000;
const LIST_DEFAULT = 100;

export async function startVapiStandIn(): Promise<VapiStandIn> {
  const standIn = new StandIn();
  await standIn.listen();
  return standIn;
}

class StandIn implements VapiStandIn {
  readonly calls: StandInCall[] = [];
  readonly requests: string[] = [];
  readonly #mishaps = new Map<string, Mishap[]>();
  #refused = 0;
  #isControlled = true;
  #listAfterMs = 0;
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) answer(response, 500, { message: String(error), statusCode: 500 });
      else response.destroy();
    });
  });

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  refused = (): number => this.#refused;

  next(route: string, ...mishaps: Mishap[]): void {
    this.#mishaps.set(route, [...(this.#mishaps.get(route) ?? []), ...mishaps]);
  }

  move(id: string, status: StandInCall["status"], endedReason?: string): StandInCall {
    const call = this.calls.find((one) => one.id === id);
    if (call === undefined) throw new Error(`The stand-in has no call ${id}`);
    const now = new Date().toISOString();
    call.status = status;
    call.updatedAt = now;
    if (status === "in-progress") call.startedAt ??= now;
    if (status === "ended") {
      call.endedAt = now;
      call.endedReason = endedReason ?? "customer-ended-call";
    }
    return call;
  }

  withoutControl(): void {
    this.#isControlled = false;
  }

  listAfter(ms: number): void {
    this.#listAfterMs = ms;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const route = routeOf(request.method ?? "GET", url.pathname);
    this.requests.push(route);
    const body = await bodyOf(request);
    const mishap = this.#mishaps.get(route)?.shift();
    if (mishap?.is === "cut") return void request.socket.destroy();
    if (mishap?.is === "answer") return answer(response, mishap.status, mishap.body, mishap.headers);
    if (mishap?.is === "slow") await new Promise((resolve) => setTimeout(resolve, mishap.ms));
    const [status, content] = this.#act(route, url, body, request.headers.authorization);
    if (mishap?.is === "lost answer") return void request.socket.destroy();
    answer(response, status, content);
  }

  #act(route: string, url: URL, body: unknown, authorization: string | undefined): [number, unknown] {
    const id = url.pathname.split("/")[2] ?? "";
    // A control address is a secret itself, so VAPI's private key must not be sent there.
    if (route === "POST /control") {
      if (authorization !== undefined) return [400, { message: "a key was sent to a control address" }];
      return this.#control(id, body);
    }
    if (authorization !== `Bearer ${VAPI_KEY}`) {
      this.#refused += 1;
      return [401, { message: "Invalid Key.", error: "Unauthorized", statusCode: 401 }];
    }
    const call = this.calls.find((one) => one.id === id);
    switch (route) {
      case "POST /call":
        return this.#create(body as Record<string, unknown>);
      case "GET /call":
        return [200, this.#list(url.searchParams)];
      case "GET /call/:id":
        return call === undefined ? notFound(id) : [200, call];
      case "DELETE /call/:id":
        if (call === undefined) return notFound(id);
        this.calls.splice(this.calls.indexOf(call), 1);
        return [200, call];
      default:
        return [404, { message: `Cannot ${route}`, error: "Not Found", statusCode: 404 }];
    }
  }

  #create(body: Record<string, unknown>): [number, unknown] {
    const faults = Object.keys(body)
      .filter((name) => !CREATE_FIELDS.has(name))
      .map((name) => `property ${name} should not exist`);
    const { assistantId, customer, name, phoneNumberId } = body as unknown as StandInCall;
    if (!isUuid(assistantId)) faults.push("assistantId must be a UUID");
    if (!isUuid(phoneNumberId)) faults.push("phoneNumberId must be a UUID");
    if (name !== undefined && name.length > 40)
      faults.push("name must be shorter than or equal to 40 characters");
    const number = customer?.number ?? "";
    if (customer?.numberE164CheckEnabled !== false && !/^\+[1-9]\d{5,14}$/.test(number))
      faults.push("customer.number must be a valid phone number in the E.164 format");
    if (!/^\+?[a-zA-Z0-9]+$/.test(number)) faults.push("customer.number must be alphanumeric");
    const { maxDurationSeconds = 600 } = (body.assistantOverrides ?? {}) as { maxDurationSeconds?: number };
    if (!(maxDurationSeconds >= 10 && maxDurationSeconds <= 43_200))
      faults.push("assistantOverrides.maxDurationSeconds must be from 10 to 43200");
    if (faults.length > 0) return [400, { message: faults, error: "Bad Request", statusCode: 400 }];
    const id = randomUUID();
    const now = new Date().toISOString();
    const call: StandInCall = {
      ...(body as unknown as StandInCall),
      id,
      orgId: "9f0b6c58-0000-4000-8000-000000000000",
      type: "outboundPhoneCall",
      createdAt: now,
      updatedAt: now,
      status: "queued",
      ...(this.#isControlled ? { monitor: { controlUrl: `${this.url}/control/${id}` } } : {}),
    };
    this.calls.push(call);
    return [201, call];
  }

  #list(query: URLSearchParams): StandInCall[] {
    const limit = Math.min(LIST_MAX, Number(query.get("limit") ?? LIST_DEFAULT));
    const [from, before, assistant] = ["createdAtGe", "createdAtLt", "assistantId"].map((name) =>
      query.get(name),
    );
    const until = this.#listAfterMs === 0 ? "9" : new Date(Date.now() - this.#listAfterMs).toISOString();
    return this.calls
      .filter(({ createdAt }) => !from || createdAt >= from)
      .filter(({ createdAt }) => !before || createdAt < before)
      .filter(({ assistantId }) => !assistant || assistantId === assistant)
      .filter(({ createdAt }) => createdAt <= until)
      .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
      .slice(0, limit);
  }

  /** Only a live call accepts commands. */
  #control(id: string, body: unknown): [number, unknown] {
    const call = this.calls.find((one) => one.id === id);
    if (call === undefined || call.status === "queued" || call.status === "ended") return notFound(id);
    if ((body as { type?: string }).type === "end-call") this.move(id, "ended", "manually-canceled");
    return [200, {}];
  }
}

function routeOf(method: string, path: string): string {
  if (path.startsWith("/control/")) return `${method} /control`;
  return `${method} ${path.replace(/^\/call\/[^/]+$/, "/call/:id")}`;
}

const isUuid = (text: unknown): boolean =>
  typeof text === "string" && /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/.test(text);

const notFound = (id: string): [number, unknown] => [
  404,
  { message: `Couldn't find call ${id}`, error: "Not Found", statusCode: 404 },
];

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text === "" ? {} : JSON.parse(text);
}

function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers });
  response.end(JSON.stringify(body));
}
