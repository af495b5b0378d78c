// The description of a room that LiveKit has created.
import { Room } from "@livekit/protocol";
import type { RoomServiceClient } from "livekit-server-sdk";
import { expect, test } from "vitest";
import { liveRooms } from "../../../../libs/livekit/live-rooms.ts";

const created = (room: ConstructorParameters<typeof Room>[0]) => {
  const client = { createRoom: async () => new Room(room) } as unknown as RoomServiceClient;
  return liveRooms(client).create("lobby", { emptyTimeoutS: 30, departureTimeoutS: 5 });
};

test("describes a created room, without its secret and without metadata that are too large for a message", async () => {
  const room = { name: "lobby", sid: "RM_1", emptyTimeout: 30, turnPassword: "secret" };
  expect(await created({ ...room, metadata: "a quiz" })).toEqual({
    ...{ name: "lobby", sid: "RM_1", emptyTimeout: 30 },
    metadata: "a quiz",
  });
  const large = await created({ ...room, metadata: '"'.repeat(200 * 1024) });
  expect(large).toMatchObject({ name: "lobby", sid: "RM_1" });
  expect(large).not.toHaveProperty("metadata");
});
