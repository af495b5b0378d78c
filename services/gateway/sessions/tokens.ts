// POST /api/token, and the room tokens of other answers.
import { ErrorAnswer, TokenAnswer, TokenRequest } from "../../../libs/contracts/sessions/http.ts";
import type { User } from "../../../libs/contracts/sessions/session.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import type { TokenRequest as RoomTokenRequest } from "../../../libs/livekit/rooms.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import type { Routes } from "../http/routes.ts";
import { requireSession } from "./find-session.ts";
import { isRoomSettled, type PublicSession } from "./public-session.ts";
import { randomToken } from "./session-ids.ts";

export function tokenRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/token",
    {
      schema: {
        summary: "Get a token for a session's room",
        description:
          "Without `userId` the token is for a new identity, so that two users never disconnect each other.",
        tags: ["tokens"],
        body: TokenRequest,
        response: { 200: TokenAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ body }) => {
      requireLiveKit(gateway.livekit);
      const { record } = await requireSession(gateway, body.sessionId);
      refuseUnknownRoom(record);
      const user = { id: body.userId ?? `user-${randomToken()}`, name: body.userName };
      const join = await joinOf(gateway, record, user);
      return { success: true as const, ...join, expiresIn: gateway.config.GREENROOM_TOKEN_TTL_S };
    },
  );
}

/** Creates the data for joining a session's room. @throws GreenroomError livekit_unavailable */
export async function joinOf(gateway: Gateway, { room }: Pick<PublicSession, "room">, user: User) {
  const token = await tokenFor(gateway, { room, identity: user.id, name: user.name });
  return { url: requireLiveKit(gateway.livekit).publicUrl, token, room, identity: user.id };
}

export const tokenFor = (gateway: Gateway, request: Omit<RoomTokenRequest, "ttlS">): Promise<string> =>
  requireLiveKit(gateway.livekit).tokens.forUser({ ...request, ttlS: gateway.config.GREENROOM_TOKEN_TTL_S });

function refuseUnknownRoom(record: PublicSession): void {
  if (record.state === "ended") {
    throw new SessionError(record.sessionId, "conflict", "The session has ended. Start another one.");
  }
  if (isRoomSettled(record)) return;
  throw new SessionError(
    record.sessionId,
    "conflict",
    `The session is ${record.state}, and its agent may bring its own room. Retry when its status is ready.`,
  );
}
