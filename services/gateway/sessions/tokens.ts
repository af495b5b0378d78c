// POST /api/token, and the room tokens of other answers.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ErrorAnswer, TokenAnswer, TokenRequest } from "../../../libs/contracts/sessions/http.ts";
import type { User } from "../../../libs/contracts/sessions/session.ts";
import { readParticipant } from "../../../libs/fleet/stored-texts.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import type { TokenRequest as RoomTokenRequest } from "../../../libs/livekit/rooms.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import type { Routes } from "../http/routes.ts";
import { requireSession } from "./find-session.ts";
import { isRoomSettled, type PublicSession } from "./public-session.ts";
import { randomToken } from "./session-ids.ts";

/** A client sends the token in the URL, and LiveKit's HTTP server accepts 1 MiB of URL and headers. */
const TOKEN_MAX = 1_000_000;

export function tokenRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/token",
    {
      schema: {
        summary: "Get a token for a session's room",
        description:
          "Without `userId` the token is for a new identity, so that two users never disconnect each other. With the user's own `userId`, it has the metadata and attributes of the start.",
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

/**
 * Creates the data for joining a session's room. Each token of the session's own user has the metadata and attributes of
 * the start; other users have none.
 * @throws GreenroomError livekit_unavailable, storage_unavailable
 */
export async function joinOf(gateway: Gateway, session: JoinedSession, user: User) {
  const { room } = session;
  const { attributes, metadata } =
    user.id === session.user.id ? await readParticipant(gateway.bus, session) : {};
  const token = await tokenFor(gateway, {
    ...{ room, identity: user.id, name: user.name },
    ...(metadata === undefined ? {} : { metadata }),
    ...(attributes === undefined ? {} : { attributes }),
  });
  return { url: requireLiveKit(gateway.livekit).publicUrl, token, room, identity: user.id };
}

type JoinedSession = Pick<PublicSession, "tenant" | "sessionId" | "room" | "user" | "stored">;

/** @throws GreenroomError invalid_request, livekit_unavailable */
export async function tokenFor(gateway: Gateway, request: Omit<RoomTokenRequest, "ttlS">): Promise<string> {
  const { tokens } = requireLiveKit(gateway.livekit);
  const token = await tokens.forUser({ ...request, ttlS: gateway.config.GREENROOM_TOKEN_TTL_S });
  if (token.length <= TOKEN_MAX) return token;
  throw new GreenroomError(
    "invalid_request",
    `The user's token would have ${token.length} bytes. LiveKit accepts ${TOKEN_MAX}, which is less than the participant's and the room's largest metadata together. Send less of them.`,
  );
}

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
