// The room_config of a token request: done, or refused in words.
import { expect, test } from "vitest";
import { messageOf } from "../../../../libs/contracts/errors.ts";
import { readRoomConfig } from "../../../../libs/livekit/room-config.ts";

const NO_AGENT = { name: "", metadata: "" };

test("reads the options of a room and its agent, in snake_case", () => {
  const room_config = {
    agents: [{ agent_name: "echo", metadata: "tenant-42" }],
    ...{ metadata: "m", empty_timeout: 30, departure_timeout: 5, max_participants: 2 },
    ...{ min_playout_delay: 100, max_playout_delay: 200, sync_streams: true },
  };
  expect(readRoomConfig(room_config)).toEqual({
    agent: { name: "echo", metadata: "tenant-42" },
    room: {
      ...{ metadata: "m", emptyTimeout: 30, departureTimeout: 5, maxParticipants: 2 },
      ...{ minPlayoutDelay: 100, maxPlayoutDelay: 200, syncStreams: true },
    },
  });
});

test("reads camelCase, and nothing from a request without options", () => {
  const camel = { agents: [{ agentName: "echo" }], maxParticipants: 2 };
  expect(readRoomConfig(camel)).toEqual({
    agent: { name: "echo", metadata: "" },
    room: { maxParticipants: 2 },
  });
  for (const nothing of [undefined, {}, { agents: [], metadata: "", empty_timeout: 0, sync_streams: false }])
    expect(readRoomConfig(nothing)).toEqual({ agent: NO_AGENT, room: {} });
});

test.each([
  [{ name: "preset" }, "body.room_config.name: presets of rooms are not supported"],
  [{ egress: { room: { room_name: "r" } } }, "body.room_config.egress: a client may not start a recording"],
  [{ tags: { a: "b" } }, "body.room_config.tags: LiveKit's server applies no tags"],
  [
    { agents: [{ agent_name: "a" }, { agent_name: "b" }] },
    "body.room_config.agents: a session has one agent",
  ],
  [{ agents: [{ agent_name: "a", deployment: "d" }] }, "body.room_config.agents.0: an agent has agent_name"],
  [{ agents: [{ attributes: { a: "b" } }] }, "body.room_config.agents.0: an agent has agent_name"],
  [{ from_a_newer_client: true }, 'body.room_config: key "from_a_newer_client" is unknown.'],
  [{ max_participants: -1 }, "max_participants from JSON: -1"],
  [{ metadata: "x".repeat(524_289) }, "body.room_config.metadata: may be 524288 bytes at most"],
  [{ agents: [{ metadata: "x".repeat(524_289) }] }, "agents.0.metadata: may be 524288 bytes at most"],
])("refuses what it can't do, and names the field: %.60j", (json, message) => {
  let refusal: unknown;
  try {
    readRoomConfig(json);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code: "invalid_request" });
  expect(messageOf(refusal)).toContain(message);
});
