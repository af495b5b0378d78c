// GET /api/sessions: the sessions, newest first, a page at a time.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ErrorAnswer, ListAnswer, ListQuery } from "../../../libs/contracts/sessions/http.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { statusOf, summarize } from "./public-session.ts";

export function listSessionsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/sessions",
    {
      schema: {
        summary: "List sessions, newest first",
        description: "`state` is the exact one, or `starting` for all that come before ready.",
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

/** Where a session stands in the list. It never changes, so pages stay whole while sessions come and go. */
type Place = readonly [at: string, id: string];

const placeOf = (record: SessionRecord): Place => [record.history[0]?.at ?? "", record.sessionId];

/** Negative when `a` comes first: the newer one, and of two equally new ones the greater id. */
const compare = (a: Place, b: Place): number => compareText(b[0], a[0]) || compareText(b[1], a[1]);
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** One page of what fits the query. @throws GreenroomError invalid_request for a cursor that isn't ours */
function pageOf(
  records: readonly SessionRecord[],
  query: ListQuery,
): { page: SessionRecord[]; nextCursor: string | null } {
  const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
  const fits = (record: SessionRecord) =>
    (query.profile === undefined || record.profile === query.profile) &&
    (query.state === undefined || query.state === record.state || query.state === statusOf(record.state)) &&
    (after === undefined || compare(placeOf(record), after) > 0);
  const found = records.filter(fits).sort((a, b) => compare(placeOf(a), placeOf(b)));
  const page = found.slice(0, query.limit);
  const last = page.at(-1);
  const nextCursor = last !== undefined && found.length > page.length ? writeCursor(placeOf(last)) : null;
  return { page, nextCursor };
}

const writeCursor = (place: Place): string => Buffer.from(JSON.stringify(place)).toString("base64url");

function readCursor(cursor: string): Place {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(place) && typeof place[0] === "string" && typeof place[1] === "string") {
      return [place[0], place[1]];
    }
  } catch {
    // Said below.
  }
  throw new GreenroomError("invalid_request", "query.cursor: take it from nextCursor of the page before.");
}
