// POST /api/livekit/token: the token endpoint of LiveKit's client SDKs (their "TokenSource").
import { z } from "zod";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { isReservedRoom, roomOf } from "../../../libs/contracts/ids.ts";
import {
  ErrorAnswer,
  LiveKitTokenAnswer,
  LiveKitTokenRequest,
} from "../../../libs/contracts/sessions/http.ts";
import { jobMetadataOfText } from "../../../libs/contracts/sessions/session.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import { readRoomConfig } from "../../../libs/livekit/room-config.ts";
import { type RoomConfig, SESSION_ROOM } from "../../../libs/livekit/rooms.ts";
import type { Gateway } from "../context.ts";
import { metadataBodyLimit } from "../http/request-guards.ts";
import type { Routes } from "../http/routes.ts";
import { admitStart } from "./admit-start.ts";
import { refusalError } from "./create-session.ts";
import { ensureSession, liveSessionIn, nextSessionIn, type RoomStart } from "./ensure-session.ts";
import { invitationOf, saveInvitation } from "./invitations.ts";
import { hasUnknownNames, isLoadingOn, knownProfiles, liveHosts, profileWithAlias } from "./profiles.ts";
import { randomSessionId, randomToken } from "./session-ids.ts";
import { tokenFor } from "./tokens.ts";

const LOADING_RETRY_MS = 2000;

export function livekitTokenRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/livekit/token",
    {
      bodyLimit: metadataBodyLimit(gateway),
      schema: {
        summary: "Get a token for LiveKit's TokenSource",
        description:
          'Reserves nothing: the session starts when somebody joins the room with the token. With `start: "now"`, in the body or the query, it starts immediately.',
        tags: ["tokens"],
        body: LiveKitTokenRequest,
        querystring: z.object({ start: LiveKitTokenRequest.shape.start }),
        response: { 201: LiveKitTokenAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ body, query }, reply) => {
      const { isSimulated, publicUrl } = requireLiveKit(gateway.livekit);
      const room = body.room_name ?? roomOf(randomSessionId());
      const user = {
        id: body.participant_identity ?? `user-${randomToken()}`,
        name: body.participant_name ?? body.participant_identity ?? "Guest",
      };
      const { agent, room: config } = readRoomConfig(body.room_config);
      const profile = profileOf(gateway, agent.name);
      const start = { room, user, profile, ...jobMetadataOfText(agent.metadata) };
      // Nobody can join a simulated room.
      const startsNow = isSimulated || (body.start ?? query.start) === "now";
      await refuseLateConfig(gateway, config, startsNow, body.room_name);
      const token = await tokenFor(gateway, {
        room,
        identity: user.id,
        name: user.name,
        ...(body.participant_metadata === undefined ? {} : { metadata: body.participant_metadata }),
        ...(body.participant_attributes === undefined ? {} : { attributes: body.participant_attributes }),
        ...roomConfigFor(room, config),
      });
      const sessionId = await sessionFor(gateway, start, startsNow, body.room_name);
      return reply
        .code(201)
        .header("Greenroom-Session-Id", sessionId)
        .send({ server_url: publicUrl, participant_token: token });
    },
  );
}

/** The id of the session that the token is for: the room's live one, or the one that it gets next. */
async function sessionFor(
  gateway: Gateway,
  start: RoomStart,
  startsNow: boolean,
  requestedRoom: string | undefined,
): Promise<string> {
  const { room, profile } = start;
  const live = liveSessionIn(gateway, room);
  if (live === undefined && requestedRoom !== undefined && isReservedRoom(room)) {
    throw new GreenroomError(
      "invalid_request",
      `body.room_name: "${room}" is reserved for Greenroom's own rooms.`,
    );
  }
  const { sessionId } = await nextSessionIn(gateway, room);
  if (live === undefined) {
    const decision = admitStart(gateway, {
      sessionId,
      profile,
      provider: undefined,
      exclusiveRoom: undefined,
    });
    if ("refused" in decision) throw refusalError(decision);
  }
  await saveInvitation(gateway, invitationOf(gateway, start));
  if (live !== undefined) return live.sessionId;
  return startsNow ? ((await ensureSession(gateway, start)) ?? sessionId) : sessionId;
}

/**
 * The profile of an agent name: the profile of that name, or the one whose agent has it in LiveKit. A request without a
 * name gets the default profile.
 *
 * @throws GreenroomError unknown_profile, profile_unavailable
 */
function profileOf(gateway: Gateway, agentName = ""): string | undefined {
  if (agentName === "") return undefined;
  const rule = gateway.config.GREENROOM_PROVIDERS.find(
    ({ profile, provider, name }) => profile === agentName || (provider === "livekit" && name === agentName),
  );
  if (rule !== undefined) return rule.profile;
  const hosts = liveHosts(gateway.hosts.all());
  const known = knownProfiles(hosts);
  if (known.includes(agentName)) return agentName;
  const byAlias = profileWithAlias(hosts, agentName);
  // Without hosts, the start is refused for that reason.
  if (byAlias !== undefined || known.length === 0) return byAlias;
  // A host of an earlier version publishes no agent names, so one of its agents may have this one.
  if (hosts.some(hasUnknownNames)) return undefined;
  if (known.some((profile) => isLoadingOn(hosts, profile))) {
    throw new GreenroomError(
      "profile_unavailable",
      `body.room_config.agents.0.agent_name: no profile is called "${agentName}" yet. Agent files are still loading. Repeat the request.`,
      { retryAfterMs: LOADING_RETRY_MS },
    );
  }
  throw new GreenroomError(
    "unknown_profile",
    `body.room_config.agents.0.agent_name: no profile is called "${agentName}". Known profiles: ${known.join(", ")}.`,
  );
}

/** A room that Greenroom has named gets the time-outs of its rooms, unless the client chose others. */
function roomConfigFor(room: string, config: RoomConfig): { roomConfig?: RoomConfig } {
  const { departureTimeoutS: departureTimeout, emptyTimeoutS: emptyTimeout } = SESSION_ROOM;
  const all = isReservedRoom(room) ? { departureTimeout, emptyTimeout, ...config } : config;
  return Object.keys(all).length === 0 ? {} : { roomConfig: all };
}

/**
 * Refuses options for a room that LiveKit will not create at the user's join. The same options as those of an existing
 * room are accepted, because every user of a room may send them.
 * @throws GreenroomError invalid_request, livekit_unavailable
 */
async function refuseLateConfig(
  gateway: Gateway,
  config: RoomConfig,
  startsNow: boolean,
  room: string | undefined,
): Promise<void> {
  const [first] = Object.keys(config);
  if (first === undefined) return;
  const refuse = (name: string, reason: string) =>
    new GreenroomError("invalid_request", `body.room_config.${snakeCase(name)}: ${reason}`);
  if (startsNow) {
    const reason =
      'with start: "now", the room is created before its user joins. Leave out the option, or the start.';
    throw refuse(first, reason);
  }
  if (room === undefined) return;
  const present = await requireLiveKit(gateway.livekit).rooms.config(room);
  if (present === undefined && liveSessionIn(gateway, room) === undefined) return;
  for (const [name, value] of Object.entries(config)) {
    if (present?.[name as keyof RoomConfig] === value) continue;
    throw refuse(
      name,
      `the room "${room}" exists already, without this value. Use another room, or change it by LiveKit's API.`,
    );
  }
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
