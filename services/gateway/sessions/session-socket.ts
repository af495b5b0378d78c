// The WebSocket at /api/session/ws, on which a client starts, follows and ends sessions.
import type { WebSocket } from "@fastify/websocket";
import type { FastifyRequest } from "fastify";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import {
  type SocketRequest,
  SocketRequest as SocketRequestSchema,
} from "../../../libs/contracts/sessions/http.ts";
import { faultsOf } from "../../../libs/contracts/validation.ts";
import type { SeenSession } from "../../../libs/fleet/session-view.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { ClientStream, type Wire } from "../http/client-stream.ts";
import { isAllowedOrigin } from "../http/cors-origins.ts";
import { describeError } from "../http/errors.ts";
import { isTooDeep } from "../http/request-guards.ts";
import type { Routes } from "../http/routes.ts";
import { endSession } from "./end-session.ts";
import { requireSession } from "./find-session.ts";
import { describe } from "./public-session.ts";
import { startSession } from "./start-session.ts";
import { joinOf } from "./tokens.ts";

/** Time for a disconnected client to read the reason. */
const LAST_WORD_MS = 1000;
/** Maximum number of concurrent requests, and of followed sessions, of one client. */
const MAX_CONCURRENT = 32;
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
      throw new GreenroomError(
        "invalid_request",
        "This route accepts WebSocket connections only. Connect with ws://.",
      );
    },
    wsHandler: (socket, request) => new SocketClient(gateway, socket, request.id, request.ip).serve(),
  });
}

/** Browsers let any page open a WebSocket to any address. CORS does not apply to WebSockets. */
function refuseForeignPage(gateway: Gateway, { headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (isAllowedOrigin(origin, host, gateway.config.GREENROOM_CORS_ORIGIN)) return;
  throw new GreenroomError(
    "forbidden",
    `Pages of ${origin} may not connect. Add this origin to GREENROOM_CORS_ORIGIN.`,
  );
}

class SocketClient {
  readonly #gateway: Gateway;
  readonly #socket: WebSocket;
  readonly #traceId: string;
  readonly #stream: ClientStream;
  readonly #followed = new Map<string, () => void>();
  #pending = 0;

  constructor(gateway: Gateway, socket: WebSocket, traceId: string, client: string) {
    this.#gateway = gateway;
    this.#socket = socket;
    this.#traceId = traceId;
    this.#stream = new ClientStream(gateway, wireOf(socket, gateway.clock), client);
  }

  serve(): void {
    this.#socket.on("message", (data, isBinary) => void this.#handle(data.toString(), isBinary));
    this.#socket.on("error", () => this.#socket.terminate());
    this.#socket.on("close", () => {
      this.#stream.end();
      for (const unfollow of this.#followed.values()) unfollow();
      this.#followed.clear();
    });
  }

  async #handle(text: string, isBinary: boolean): Promise<void> {
    let requestId: string | undefined;
    this.#pending++;
    try {
      if (this.#pending > MAX_CONCURRENT) {
        throw new GreenroomError(
          "rate_limited",
          `The connection has ${MAX_CONCURRENT} pending requests, the maximum.`,
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
      this.#pending--;
    }
  }

  async #answer(request: SocketRequest): Promise<void> {
    const mark = request.requestId === undefined ? {} : { requestId: request.requestId };
    switch (request.type) {
      case "ping":
        return this.#send({ type: "pong", ...mark });
      case "start": {
        const { type: _, requestId: __, ...startRequest } = request;
        const { answer, revision } = await startSession(this.#gateway, startRequest, undefined);
        this.#send({ type: "session", ...mark, ...answer });
        // Later states follow automatically. The ready state contains the room and the token.
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
        this.#send({
          type: "session",
          ...mark,
          ...(await endSession(this.#gateway, request.sessionId, request)),
        });
    }
  }

  /** Sends each later state. With `wantsJoin`, the first ready state contains url, token and room. */
  #follow(sessionId: string, sentRevision: number, wantsJoin: boolean): void {
    if (this.#followed.has(sessionId)) return;
    if (this.#followed.size >= MAX_FOLLOWED) {
      throw new GreenroomError(
        "rate_limited",
        `The connection follows ${MAX_FOLLOWED} sessions, the maximum.`,
      );
    }
    let lastSent = sentRevision;
    let isJoinDue = wantsJoin;
    const send = async (session: SeenSession | undefined) => {
      if (session === undefined) return this.#unfollow(sessionId);
      if (session.revision <= lastSent) return;
      lastSent = session.revision;
      const { record } = session;
      if (record.state === "ended") this.#unfollow(sessionId);
      const isFirstReady = isJoinDue && record.state === "ready";
      if (isFirstReady) isJoinDue = false;
      const join = isFirstReady ? await joinOf(this.#gateway, record, record.user) : {};
      this.#send({ type: "session", ...describe(this.#gateway, record), ...join });
    };
    // States are sent in order: creating a token takes time, and `ended` must not overtake `ready`.
    let last = Promise.resolve();
    const listen = (session: SeenSession | undefined) => {
      last = last
        .then(() => send(session))
        .catch((error) => this.#gateway.log.error({ error, sessionId }, "failed to send a state"));
    };
    this.#followed.set(sessionId, this.#gateway.subscriptions.follow(sessionId, listen));
    // Sends a change that happened since the answer.
    const now = this.#gateway.sessions.get(this.#gateway.tenant, sessionId);
    if (now !== undefined) listen(now);
  }

  #unfollow(sessionId: string): void {
    this.#followed.get(sessionId)?.();
    this.#followed.delete(sessionId);
  }

  #send(message: Record<string, unknown>): void {
    this.#stream.send(JSON.stringify(message));
  }
}

function wireOf(socket: WebSocket, clock: Clock): Wire {
  let hasAnswered = true;
  socket.on("pong", () => {
    hasAnswered = true;
  });
  return {
    send(text) {
      if (socket.readyState === socket.OPEN) socket.send(text);
    },
    ping() {
      hasAnswered = false;
      socket.ping();
    },
    hasAnswered: () => hasAnswered,
    unreadBytes: () => socket.bufferedAmount,
    close: () => socket.close(1001, "the gateway is stopping"),
    // A client that still reads gets the reason. The connection ends soon in any case.
    cut() {
      socket.close(1013, "the client does not read its messages");
      clock.after(LAST_WORD_MS, () => socket.terminate());
    },
  };
}

/** @throws GreenroomError invalid_request with field and reason */
function readRequest(text: string, isBinary: boolean, sawRequestId: (id: string) => void): SocketRequest {
  if (isBinary) throw new GreenroomError("invalid_request", "Send JSON text instead of binary messages.");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new GreenroomError("invalid_request", "The message is not valid JSON.");
  }
  if (isTooDeep(json)) throw new GreenroomError("invalid_request", "The message is nested too deeply.");
  const requestId = (json as { requestId?: unknown } | null)?.requestId;
  if (typeof requestId === "string") sawRequestId(requestId.slice(0, 128));
  const parsed = SocketRequestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new GreenroomError("invalid_request", faultsOf(parsed.error));
}
