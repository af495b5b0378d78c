// GET /api/session/:id/events: each change of a session as a server-sent event.
import type { ServerResponse } from "node:http";
import { z } from "zod";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { type Found, requireSession } from "./find-session.ts";
import { SessionParams } from "./get-session.ts";
import { describe } from "./public-session.ts";

/** Proxies close what is silent for long; most of them after a minute. */
const HEARTBEAT_MS = 15_000;
/** A client that has so much unread doesn't read: it is cut before its backlog grows without bound. */
const MAX_BACKLOG_BYTES = 256 * 1024;

export function sessionEventsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/session/:id/events",
    {
      schema: {
        summary: "Follow a session as server-sent events",
        description:
          "`state` events carry the session as GET /api/session/:id gives it; the present state comes first, and the stream ends after `ended`.",
        tags: ["sessions"],
        params: SessionParams,
        headers: z.looseObject({ "last-event-id": z.string().optional() }),
        response: {
          204: z.null().describe("Seen to its end: don't connect again."),
          "4xx": ErrorAnswer,
          "5xx": ErrorAnswer,
        },
      },
    },
    async ({ params, headers, ip }, reply) => {
      gateway.streams.refuseIfTooMany(ip);
      const found = await requireSession(gateway, params.id);
      const lastSeen = headers["last-event-id"];
      // 204 is how a browser's EventSource is told to stop connecting again.
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
  let closed = false;
  let cancelHeartbeat = () => {};
  let unfollow = () => {};
  const close = () => {
    if (closed) return;
    closed = true;
    unfollow();
    cancelHeartbeat();
    forget();
    raw.end();
  };
  const write = (text: string) => {
    if (closed) return;
    raw.write(text);
    if (raw.writableLength <= MAX_BACKLOG_BYTES) return;
    cut();
  };
  const cut = () => {
    gateway.log.warn({ sessionId, unread: raw.writableLength }, "a client that doesn't read was cut");
    raw.destroy();
    close();
  };
  const forget = gateway.streams.add(client, () => {
    write(`event: closing\ndata: ${JSON.stringify({ code: "shutting_down", sessionId })}\n\n`);
    close();
  });
  raw.on("close", close);
  raw.on("error", close);

  let revision = -1;
  const tell = (session: Found) => {
    if (session.revision <= revision) return;
    revision = session.revision;
    if (String(revision) !== lastSeen) {
      const data = JSON.stringify(describe(gateway, session.record));
      write(`id: ${revision}\nevent: state\ndata: ${data}\n\n`);
    }
    if (session.record.state === "ended") close();
  };
  // What doesn't even leave the process from one beat to the next is not being read.
  let sentBefore: number | undefined;
  const beat = () => {
    const beatMs = Math.min(HEARTBEAT_MS, gateway.config.GREENROOM_SLOW_CLIENT_TIMEOUT_MS / 2);
    cancelHeartbeat = gateway.clock.after(beatMs, () => {
      const sent = (raw.socket?.bytesWritten ?? 0) - raw.writableLength;
      if (raw.writableLength > 0 && sent === sentBefore) return cut();
      sentBefore = sent;
      write(": still here\n\n");
      if (!closed) beat();
    });
  };
  write("retry: 1000\n\n");
  unfollow = gateway.subscriptions.follow(sessionId, (session) =>
    session === undefined ? close() : tell(session),
  );
  // What came between the look-up and the following is in the view by now.
  tell(gateway.sessions.get(gateway.tenant, sessionId) ?? present);
  if (!closed) beat();
  else unfollow();
}
