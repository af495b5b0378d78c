// GET /api/sessions: the sessions, newest first, a page at a time.
import { ErrorAnswer, ListAnswer, ListQuery } from "../../../libs/contracts/sessions/http.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { Gateway } from "../context.ts";
import { comparePlaces, type Place, readCursor, writeCursor } from "../http/pages.ts";
import type { Routes } from "../http/routes.ts";
import { statusOf, summarize } from "./public-session.ts";

export function listSessionsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/sessions",
    {
      schema: {
        summary: "List sessions, newest first",
        description: "Filter by `state`: a state of the session, or `starting` for all states before ready.",
        tags: ["sessions"],
        querystring: ListQuery,
        response: { 200: ListAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ query }) => {
      const records = gateway.sessions.all().map(({ record }) => record);
      const { page, nextCursor } = pageOf(
        records.filter((record) => record.tenant === gateway.tenant),
        query,
      );
      const sessions = page.map((record) => summarize(gateway, record));
      return { success: true as const, sessions, nextCursor };
    },
  );
}

const placeOf = (record: SessionRecord): Place => ({
  at: record.history[0]?.at ?? "",
  id: record.sessionId,
});

/** One page of the sessions that match the query. @throws GreenroomError invalid_request for an unknown cursor */
function pageOf(
  records: readonly SessionRecord[],
  query: ListQuery,
): { page: SessionRecord[]; nextCursor: string | null } {
  const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
  const fits = (record: SessionRecord) =>
    (query.profile === undefined || record.profile === query.profile) &&
    (query.state === undefined || query.state === record.state || query.state === statusOf(record.state)) &&
    (after === undefined || comparePlaces(placeOf(record), after) > 0);
  const found = records.filter(fits).sort((a, b) => comparePlaces(placeOf(a), placeOf(b)));
  const page = found.slice(0, query.limit);
  const last = page.at(-1);
  const nextCursor = last !== undefined && found.length > page.length ? writeCursor(placeOf(last)) : null;
  return { page, nextCursor };
}
