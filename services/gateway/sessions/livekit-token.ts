// POST /api/livekit/token: the token endpoint of LiveKit's client SDKs (their "TokenSource").
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ProfileName } from "../../../libs/contracts/ids.ts";
import {
  ErrorAnswer,
  isReservedRoom,
  LiveKitTokenAnswer,
  LiveKitTokenRequest,
} from "../../../libs/contracts/sessions/http.ts";
import { Metadata, type SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import type { Gateway } from "../context.ts";
import { isTooDeep } from "../http/request-guards.ts";
import type { Routes } from "../http/routes.ts";
import { createSession } from "./create-session.ts";
import { findSession } from "./find-session.ts";
import { knownProfiles, liveHosts } from "./profiles.ts";
import { randomToken, sessionIdOfRoom } from "./session-ids.ts";
import { tokenFor } from "./tokens.ts";

export function livekitTokenRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/livekit/token",
    {
      schema: {
        summary: "Get a token for LiveKit's TokenSource",
        description:
          "Starts a session if the room has none, and answers immediately. The agent joins the room afterwards.",
        tags: ["tokens"],
        body: LiveKitTokenRequest,
        response: { 201: LiveKitTokenAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ body }, reply) => {
      const { publicUrl } = requireLiveKit(gateway.livekit);
      const room = body.room_name ?? `room-${randomToken()}`;
      const user = {
        id: body.participant_identity ?? `user-${randomToken()}`,
        name: body.participant_name ?? body.participant_identity ?? "Guest",
      };
      const sessionId = await ensureSession(gateway, room, user, body);
      const token = await tokenFor(gateway, {
        room,
        identity: user.id,
        name: user.name,
        ...(body.participant_metadata === undefined ? {} : { metadata: body.participant_metadata }),
        ...(body.participant_attributes === undefined ? {} : { attributes: body.participant_attributes }),
      });
      return reply
        .code(201)
        .header("Greenroom-Session-Id", sessionId)
        .send({ server_url: publicUrl, participant_token: token });
    },
  );
}

/** Returns the live session of a room, or starts one. Concurrent callers get the same session. */
async function ensureSession(
  gateway: Gateway,
  room: string,
  user: SessionRecord["user"],
  body: LiveKitTokenRequest,
): Promise<string> {
  const live = gateway.sessions
    .all()
    .find(
      ({ record }) => record.room === room && record.state !== "ended" && record.tenant === gateway.tenant,
    );
  if (live !== undefined) return live.record.sessionId;
  if (isReservedRoom(room)) {
    throw new GreenroomError(
      "invalid_request",
      `body.room_name: "${room}" is reserved for Greenroom's own rooms.`,
    );
  }
  const agent = body.room_config?.agents?.[0];
  for (let generation = 0; ; generation++) {
    const sessionId = sessionIdOfRoom(gateway.tenant, room, generation);
    const before = await findSession(gateway, sessionId);
    if (before?.record.state === "ended") continue;
    if (before !== undefined) return sessionId;
    await createSession(gateway, {
      sessionId,
      profile: profileOf(gateway, agent?.agent_name),
      provider: undefined,
      user,
      metadata: metadataOf(agent?.metadata),
      room,
      isRoomExclusive: false,
      maxDurationMs: undefined,
      // Concurrent callers are different users who request the same session.
      requestBody: { room, generation },
      isIdempotent: true,
    });
    return sessionId;
  }
}

/** LiveKit's example apps send LiveKit's agent names. A name without a profile means the default profile. */
function profileOf(gateway: Gateway, agentName: string | undefined): string | undefined {
  const rule = gateway.config.GREENROOM_PROVIDERS.find(
    ({ profile, provider, name }) => profile === agentName || (provider === "livekit" && name === agentName),
  );
  if (rule !== undefined) return rule.profile;
  const name = ProfileName.safeParse(agentName);
  return name.success && knownProfiles(liveHosts(gateway.hosts.all())).includes(name.data)
    ? name.data
    : undefined;
}

/** LiveKit's job metadata is text, usually JSON. */
function metadataOf(text: string | undefined): SessionRecord["metadata"] {
  if (text === undefined || text === "") return {};
  const json = parseJson(text);
  const parsed = Metadata.safeParse(json === undefined || isTooDeep(json) ? { metadata: text } : json);
  if (parsed.success) return parsed.data;
  const reason = parsed.error.issues[0]?.message ?? "invalid value";
  throw new GreenroomError("invalid_request", `body.room_config.agents.0.metadata: ${reason}`);
}

function parseJson(text: string): object | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json) ? json : undefined;
  } catch {
    return undefined;
  }
}
