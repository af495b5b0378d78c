// The WebSocket at /api/session/ws, on which a client starts, follows and ends sessions.

import type { WebSocket } from "@fastify/websocket";
import type { FastifyRequest } from "fastify";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import {
  type SocketRequest,
  SocketRequest as SocketRequestSchema,
} from "../../../libs/contracts/sessions/http.ts";
import type { SeenSession } from "../../../libs/fleet/session-view.ts";
import type { Gateway } from "../context.ts";
import { isAllowedOrigin } from "../http/cors-origins.ts";
import { describeError } from "../http/errors.ts";
import { isTooDeep } from "../http/request-guards.ts";
import type { Routes } from "../http/routes.ts";
import { endSession } from "./end-session.ts";
import { requireSession } from "./find-session.ts";
import { describe } from "./public-session.ts";
import { startSession } from "./start-session.ts";
import { joinOf } from "./tokens.ts";

const HEARTBEAT_MS = 15_000;
const MAX_BACKLOG_BYTES = 256 * 1024;
/** How long a client that is cut has to read why. */
const LAST_WORD_MS = 1000;
/** Requests of one client that are being worked on, and sessions it follows. */
const MAX_IN_HAND = 32;
const MAX_FOLLOWED = 256;

export function sessionSocketRoute(app: Routes, gateway: Gateway): void {
  app.route({
    method: "GET",
    url: "/api/session/ws",
    schema: { hide: true },
    preValidation: async (request) => {
      refuseForeignPage(gateway, request);
      gateway.streams.refuseIfTooMany(request.ip);
    },
    handler: async () => {
      throw new GreenroomError("invalid_request", "This address speaks WebSocket: connect with ws://.");
    },
    wsHandler: (socket, request) => new SocketClient(gateway, socket, request.id, request.ip).serve(),
  });
}

/** Browsers let any page open a WebSocket to anywhere; CORS doesn't hold them back. */
function refuseForeignPage(gateway: Gateway, { headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (isAllowedOrigin(origin, host, gateway.config.GREENROOM_CORS_ORIGIN)) return;
  throw new GreenroomError(
    "forbidden",
    `Pages of ${origin} may not connect. Add it to GREENROOM_CORS_ORIGIN.`,
  );
}

class SocketClient {
  readonly #gateway: Gateway;
  readonly #socket: WebSocket;
  readonly #traceId: string;
  readonly #client: string;
  readonly #followed = new Map<string, () => void>();
  #inHand = 0;
  #answersPing = true;
  #cancelHeartbeat = () => {};

  constructor(gateway: Gateway, socket: WebSocket, traceId: string, client: string) {
    this.#gateway = gateway;
    this.#socket = socket;
    this.#traceId = traceId;
    this.#client = client;
  }

  serve(): void {
    const forget = this.#gateway.streams.add(this.#client, () =>
      this.#socket.close(1001, "the gateway is stopping"),
    );
    this.#socket.on("message", (data, isBinary) => void this.#take(data.toString(), isBinary));
    this.#socket.on("pong", () => {
      this.#answersPing = true;
    });
    this.#socket.on("error", () => this.#socket.terminate());
    this.#socket.on("close", () => {
      forget();
      this.#cancelHeartbeat();
      for (const unfollow of this.#followed.values()) unfollow();
      this.#followed.clear();
    });
    this.#beat();
  }

  async #take(text: string, isBinary: boolean): Promise<void> {
    let requestId: string | undefined;
    this.#inHand++;
    try {
      if (this.#inHand > MAX_IN_HAND) {
        throw new GreenroomError(
          "rate_limited",
          `At most ${MAX_IN_HAND} requests at once on one connection.`,
          {
            retryAfterMs: 1000,
          },
        );
      }
      const request = readRequest(text, isBinary, (id) => {
        requestId = id;
      });
      await this.#answer(request);
    } catch (error) {
      this.#gateway.storeHealth.notice(error);
      const body = describeError(error, this.#traceId, this.#gateway.log);
      this.#send({ type: "error", ...(requestId === undefined ? {} : { requestId }), error: body });
    } finally {
      this.#inHand--;
    }
  }

  async #answer(request: SocketRequest): Promise<void> {
    const mark = request.requestId === undefined ? {} : { requestId: request.requestId };
    switch (request.type) {
      case "ping":
        return this.#send({ type: "pong", ...mark });
      case "start": {
        const { type: _, requestId: __, ...wish } = request;
        const { answer, revision } = await startSession(this.#gateway, wish, undefined);
        this.#send({ type: "session", ...mark, ...answer });
        // Its later states come by themselves, the one that is ready with the way in.
        if (answer.status !== "ended") {
          this.#follow(answer.sessionId, revision, answer.status === "starting");
        }
        return;
      }
      case "follow": {
        const { record, revision } = await requireSession(this.#gateway, request.sessionId);
        this.#send({ type: "session", ...mark, ...describe(this.#gateway, record) });
        if (record.state !== "ended") this.#follow(request.sessionId, revision, false);
        return;
      }
      case "end":
        this.#send({ type: "session", ...mark, ...(await endSession(this.#gateway, request.sessionId)) });
    }
  }

  /** Tells each later state; `wantsWayIn`: the first that is ready comes with url, token and room. */
  #follow(sessionId: string, toldRevision: number, wantsWayIn: boolean): void {
    if (this.#followed.has(sessionId)) return;
    if (this.#followed.size >= MAX_FOLLOWED) {
      throw new GreenroomError("rate_limited", `At most ${MAX_FOLLOWED} sessions on one connection.`);
    }
    let told = toldRevision;
    let isWayInDue = wantsWayIn;
    const tell = async (session: SeenSession | undefined) => {
      if (session === undefined) return this.#unfollow(sessionId);
      if (session.revision <= told) return;
      told = session.revision;
      const { record } = session;
      if (record.state === "ended") this.#unfollow(sessionId);
      const isFirstReady = isWayInDue && record.state === "ready";
      if (isFirstReady) isWayInDue = false;
      const wayIn = isFirstReady ? await joinOf(this.#gateway, record, record.user) : {};
      this.#send({ type: "session", ...describe(this.#gateway, record), ...wayIn });
    };
    // One after the other: a token takes a moment, and `ended` must not overtake `ready`.
    let last = Promise.resolve();
    const listen = (session: SeenSession | undefined) => {
      last = last
        .then(() => tell(session))
        .catch((error) => this.#gateway.log.error({ error, sessionId }, "a state could not be told"));
    };
    this.#followed.set(sessionId, this.#gateway.subscriptions.follow(sessionId, listen));
    // What came since the answer was made.
    const now = this.#gateway.sessions.get(this.#gateway.tenant, sessionId);
    if (now !== undefined) listen(now);
  }

  #unfollow(sessionId: string): void {
    this.#followed.get(sessionId)?.();
    this.#followed.delete(sessionId);
  }

  #send(message: Record<string, unknown>): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BACKLOG_BYTES) this.#cut();
    else this.#socket.send(JSON.stringify(message));
  }

  /** One that reads after all learns why; the connection goes soon, whether it does or not. */
  #cut(): void {
    this.#gateway.log.warn({ unread: this.#socket.bufferedAmount }, "a client that doesn't read was cut");
    this.#socket.close(1013, "what you were sent stays unread");
    this.#gateway.clock.after(LAST_WORD_MS, () => this.#socket.terminate());
  }

  #beat(): void {
    const { GREENROOM_SLOW_CLIENT_TIMEOUT_MS } = this.#gateway.config;
    this.#cancelHeartbeat = this.#gateway.clock.after(
      Math.min(HEARTBEAT_MS, GREENROOM_SLOW_CLIENT_TIMEOUT_MS / 2),
      () => {
        if (!this.#answersPing) return this.#cut();
        this.#answersPing = false;
        this.#socket.ping();
        this.#beat();
      },
    );
  }
}

/** @throws GreenroomError invalid_request, saying field and reason */
function readRequest(text: string, isBinary: boolean, sawRequestId: (id: string) => void): SocketRequest {
  if (isBinary) throw new GreenroomError("invalid_request", "Messages are JSON text, not binary.");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new GreenroomError("invalid_request", "The message is not JSON.");
  }
  if (isTooDeep(json)) throw new GreenroomError("invalid_request", "The message is nested too deeply.");
  const requestId = (json as { requestId?: unknown } | null)?.requestId;
  if (typeof requestId === "string") sawRequestId(requestId.slice(0, 128));
  const parsed = SocketRequestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues
    .slice(0, 5)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`));
  throw new GreenroomError("invalid_request", faults.join("; "));
}
