// Room options in requests of LiveKit's TokenSource.
import { afterEach, beforeEach, expect, test } from "vitest";
import { invitations } from "../../../../../libs/contracts/buckets.ts";
import type { SimulatedRooms } from "../../../../../libs/livekit/simulated-rooms.ts";
import { joinableRooms, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig({ livekit: joinableRooms() });
});
afterEach(() => rig.stop());

const ask = (body: object) => rig.post("/api/livekit/token", body);
const roomConfigIn = async (body: object) => {
  const answer = await ask(body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  const [, claims = ""] = answer.body.participant_token.split(".");
  return JSON.parse(Buffer.from(claims, "base64url").toString()).roomConfig;
};

// Older versions of LiveKit's client refuse a token with a field that they don't know.
test("puts the given options of the room into the token, and no other field", async () => {
  const room_config = { metadata: "m", max_participants: 2, agents: [{ agent_name: "echo", metadata: "x" }] };
  expect(await roomConfigIn({ room_name: "team", room_config })).toEqual({
    metadata: "m",
    maxParticipants: 2,
  });
  expect(
    await roomConfigIn({ room_name: "team", room_config: { agents: [{ agent_name: "echo" }] } }),
  ).toBeUndefined();
});

test("keeps the time-outs of Greenroom's rooms unless the client chose others", async () => {
  expect(await roomConfigIn({})).toEqual({ emptyTimeout: 601, departureTimeout: 61 });
  const room_config = { departure_timeout: 5 };
  expect(await roomConfigIn({ room_config })).toEqual({ emptyTimeout: 601, departureTimeout: 5 });
});

test.each([
  [
    "a start at once",
    { start: "now", room_config: { max_participants: 2 } },
    /max_participants: with start: "now"/,
  ],
  [
    "an existing room",
    { room_name: "here", room_config: { metadata: "m" } },
    /metadata: the room "here" exists already/,
  ],
  [
    "several agents",
    { room_config: { agents: [{ agent_name: "echo" }, { agent_name: "echo" }] } },
    /one agent/,
  ],
  [
    "a token that LiveKit would not accept",
    { participant_metadata: "m".repeat(500_000), room_config: { metadata: "r".repeat(500_000) } },
    /token would have 133\d{4} bytes/,
  ],
])("refuses options for %s, with the reason", async (_what, body, message) => {
  (rig.livekit?.rooms as SimulatedRooms | undefined)?.join("here", { identity: "ann", isAgent: false });
  const { status, body: answer } = await ask(body);
  expect(status, JSON.stringify(answer).slice(0, 300)).toBe(400);
  expect(answer.error.message).toMatch(message);
  expect(await rig.bus.kv.entries(invitations)).toEqual([]);
});
