// POST /api/session/:id/end: requests the end of a session, and waits briefly for it.
import { EndAnswer, EndRequest, ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { requireSession } from "./find-session.ts";
import { SessionParams } from "./get-session.ts";
import { statusOf } from "./public-session.ts";

const WAIT_FOR_END_MS = 2000;

export function endSessionRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/session/:id/end",
    {
      schema: {
        summary: "End a session",
        description: "Answers 200 if the session has ended, now or before, and 202 if this takes longer.",
        tags: ["sessions"],
        params: SessionParams,
        body: EndRequest,
        response: { 200: EndAnswer, 202: EndAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ body, params }, reply) => {
      const answer = await endSession(gateway, params.id, body);
      return reply.code(answer.status === "ended" ? 200 : 202).send(answer);
    },
  );
}

/** @throws GreenroomError storage_full, storage_unavailable */
export async function requestEnd(
  { bus, clock, tenant }: Gateway,
  sessionId: string,
  cause: { readonly reason: string; readonly deleteRoom?: true },
): Promise<void> {
  await bus.streams.publish(sessionEvents, {
    ...{ type: "end_requested", tenant, sessionId, at: isoNow(clock), endedReason: "completed" },
    ...cause,
  });
}

/** @throws GreenroomError not_found, storage_full, storage_unavailable */
export async function endSession(
  gateway: Gateway,
  sessionId: string,
  { deleteRoom = false }: EndRequest = {},
): Promise<EndAnswer> {
  let { record } = await requireSession(gateway, sessionId);
  if (record.state !== "ended") {
    await requestEnd(gateway, sessionId, {
      reason: "ended by the API",
      ...(deleteRoom ? { deleteRoom } : {}),
    });
    const seen = await gateway.subscriptions.until(sessionId, isEnded, WAIT_FOR_END_MS);
    record = seen?.record ?? record;
  }
  const status = statusOf(record.state);
  return {
    success: true,
    sessionId,
    status,
    message: status === "ended" ? "The session has ended." : "The session is being ended.",
    ...(record.endedReason === undefined ? {} : { endedReason: record.endedReason }),
  };
}

const isEnded = ({ record }: { record: { state: string } }): boolean => record.state === "ended";
