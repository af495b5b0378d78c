// GET /api/session/:id/events: each change of a session as a server-sent event.
import type { ServerResponse } from "node:http";
import { z } from "zod";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import { ClientStream, type Wire } from "../http/client-stream.ts";
import type { Routes } from "../http/routes.ts";
import { type Found, requireSession } from "./find-session.ts";
import { SessionParams } from "./get-session.ts";
import { describe } from "./public-session.ts";

export function sessionEventsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/session/:id/events",
    {
      schema: {
        summary: "Follow a session as server-sent events",
        description:
          "`state` events contain the session in the shape of GET /api/session/:id. The first event has the present state. The stream ends after `ended`.",
        tags: ["sessions"],
        params: SessionParams,
        headers: z.looseObject({ "last-event-id": z.string().optional() }),
        response: {
          204: z.null().describe("The client has seen the end of the session and need not reconnect."),
          "4xx": ErrorAnswer,
          "5xx": ErrorAnswer,
        },
      },
    },
    async ({ params, headers, ip }, reply) => {
      gateway.streams.refuseIfTooMany(ip);
      const found = await requireSession(gateway, params.id);
      const lastSeen = headers["last-event-id"];
      // 204 stops a browser's EventSource from reconnecting.
      if (found.record.state === "ended" && lastSeen === String(found.revision))
        return reply.code(204).send(null);
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) reply.raw.setHeader(name, value);
      }
      reply.hijack();
      stream(gateway, { sessionId: params.id, lastSeen, client: ip }, found, reply.raw);
    },
  );
}

function stream(
  gateway: Gateway,
  { sessionId, lastSeen, client }: { sessionId: string; lastSeen: string | undefined; client: string },
  present: Found,
  raw: ServerResponse,
): void {
  raw.writeHead(200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
  });
  let unfollow = () => {};
  const close = () => {
    unfollow();
    events.end();
    raw.end();
  };
  const events = new ClientStream(gateway, wireOf(raw, sessionId, close), client, { sessionId });
  raw.on("close", close);
  raw.on("error", close);

  let revision = -1;
  const send = (session: Found) => {
    if (session.revision <= revision) return;
    revision = session.revision;
    if (String(revision) !== lastSeen) {
      const data = JSON.stringify(describe(gateway, session.record));
      events.send(`id: ${revision}\nevent: state\ndata: ${data}\n\n`);
    }
    if (session.record.state === "ended") close();
  };
  events.send("retry: 1000\n\n");
  unfollow = gateway.subscriptions.follow(sessionId, (session) =>
    session === undefined ? close() : send(session),
  );
  // The view contains changes between the lookup and the subscription.
  send(gateway.sessions.get(gateway.tenant, sessionId) ?? present);
  if (events.isClosed) unfollow();
}

function wireOf(raw: ServerResponse, sessionId: string, close: () => void): Wire {
  // A client that receives no byte from one ping to the next is not reading.
  let sentAtPing: number | undefined;
  const sent = () => (raw.socket?.bytesWritten ?? 0) - raw.writableLength;
  return {
    send: (text) => raw.write(text),
    ping() {
      sentAtPing = sent();
      raw.write(": still here\n\n");
    },
    hasAnswered: () => raw.writableLength === 0 || sent() !== sentAtPing,
    unreadBytes: () => raw.writableLength,
    close() {
      raw.write(`event: closing\ndata: ${JSON.stringify({ code: "shutting_down", sessionId })}\n\n`);
      close();
    },
    cut() {
      raw.destroy();
      close();
    },
  };
}
