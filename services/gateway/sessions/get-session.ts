// GET /api/session/:id: the present state of a session, and its history.
import { z } from "zod";
import { SessionId } from "../../../libs/contracts/ids.ts";
import { ErrorAnswer, SessionAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { requireSession } from "./find-session.ts";
import { describe } from "./public-session.ts";

/** The path parameters of every route of one session. */
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
