// Reads the `room_config` of a token request: LiveKit's RoomConfiguration as JSON.
import { RoomAgentDispatch, RoomConfiguration } from "@livekit/protocol";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { bytesOf, METADATA_BYTES_MAX } from "../contracts/sessions/stored-text.ts";
import type { RoomConfig } from "./rooms.ts";

interface RoomRequest {
  readonly agent: { readonly name: string; readonly metadata: string };
  /** The options that LiveKit applies when it creates the room. */
  readonly room: RoomConfig;
}

const NOT_APPLIED: Readonly<Record<string, string>> = {
  name: "presets of rooms are not supported. Send their options instead.",
  egress: "a client may not start a recording. Start it from a server, with LiveKit's egress API.",
  tags: "LiveKit's server applies no tags. Use metadata instead.",
};

/**
 * Accepts field names in snake_case, from LiveKit's clients, and in camelCase.
 * @throws GreenroomError invalid_request, for every field that would have no effect
 */
export function readRoomConfig(json: unknown = {}): RoomRequest {
  const config = decode(json);
  const { agents, egress, emptyTimeout, departureTimeout, maxParticipants, metadata } = config;
  const { minPlayoutDelay, maxPlayoutDelay, syncStreams } = config;
  for (const [name, isSet] of [
    ["name", config.name !== ""],
    ["egress", egress !== undefined],
    ["tags", Object.keys(config.tags).length > 0],
  ] as const)
    if (isSet) throw refused(name, NOT_APPLIED[name] ?? "");
  if (agents.length > 1) {
    throw refused("agents", "a session has one agent. Start a session of its own for each further agent.");
  }
  const {
    agentName,
    attributes,
    deployment,
    metadata: job,
    restartPolicy,
  } = agents[0] ?? new RoomAgentDispatch();
  if (Object.keys(attributes).length > 0 || deployment !== "" || restartPolicy !== 0) {
    throw refused("agents.0", "an agent has agent_name and metadata only. Put other values into metadata.");
  }
  refuseLarge("agents.0.metadata", job);
  refuseLarge("metadata", metadata);
  return {
    agent: { name: agentName, metadata: job },
    room: {
      ...(emptyTimeout === 0 ? {} : { emptyTimeout }),
      ...(departureTimeout === 0 ? {} : { departureTimeout }),
      ...(maxParticipants === 0 ? {} : { maxParticipants }),
      ...(metadata === "" ? {} : { metadata }),
      ...(minPlayoutDelay === 0 ? {} : { minPlayoutDelay }),
      ...(maxPlayoutDelay === 0 ? {} : { maxPlayoutDelay }),
      ...(syncStreams ? { syncStreams } : {}),
    },
  };
}

function decode(json: unknown): RoomConfiguration {
  try {
    return RoomConfiguration.fromJson(json as Parameters<typeof RoomConfiguration.fromJson>[0], {
      ignoreUnknownFields: false,
    });
  } catch (error) {
    const reason = messageOf(error).replace(
      /^cannot decode message livekit\.RoomConfiguration from JSON: /,
      "",
    );
    throw new GreenroomError("invalid_request", `body.room_config: ${reason}.`);
  }
}

function refuseLarge(field: string, text: string): void {
  if (bytesOf(text) > METADATA_BYTES_MAX) throw refused(field, `may be ${METADATA_BYTES_MAX} bytes at most.`);
}

const refused = (field: string, reason: string): GreenroomError =>
  new GreenroomError("invalid_request", `body.room_config.${field}: ${reason}`);
