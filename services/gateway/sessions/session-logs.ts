// GET /api/session/:id/logs: the log lines of the session's agent.
import { ErrorAnswer, LogsAnswer, LogsQuery } from "../../../libs/contracts/sessions/http.ts";
import { sessionLogs } from "../../../libs/contracts/streams.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { requireSession } from "./find-session.ts";
import { SessionParams } from "./get-session.ts";

export function sessionLogsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/session/:id/logs",
    {
      schema: {
        summary: "Get the newest log lines of a session's agent, oldest first",
        tags: ["sessions"],
        params: SessionParams,
        querystring: LogsQuery,
        response: { 200: LogsAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params, query }) => {
      await requireSession(gateway, params.id);
      const subject = sessionLogs.subjectOf({ tenant: gateway.tenant, sessionId: params.id, lines: [] });
      // Each batch has at least one line, so this many batches contain the newest lines.
      const batches = await gateway.bus.streams.read(sessionLogs, {
        subject,
        limit: query.limit,
        order: "newest-first",
      });
      const lines = batches
        .reverse()
        .flatMap(({ message }) => message.lines)
        .slice(-query.limit);
      return { success: true as const, sessionId: params.id, lines };
    },
  );
}
