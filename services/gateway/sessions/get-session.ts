// GET /api/session/:id: what a session is now, and how it became so.
import { z } from "zod";
import { SessionId } from "../../../libs/contracts/ids.ts";
import { ErrorAnswer, SessionAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { requireSession } from "./find-session.ts";
import { describe } from "./public-session.ts";

/** The address of one session, for every route under it. */
export const SessionParams = z.strictObject({ id: SessionId });

export function getSessionRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/session/:id",
    {
      schema: {
        summary: "Get a session",
        tags: ["sessions"],
        params: SessionParams,
        response: { 200: SessionAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params }) => {
      const { record } = await requireSession(gateway, params.id);
      return { success: true as const, ...describe(gateway, record) };
    },
  );
}
