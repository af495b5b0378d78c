// An agent answers LiveKit's RPC `greenroom.alive`, in the room of its own session only.
import { AccessToken } from "livekit-server-sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ALIVE_METHOD } from "../../../libs/contracts/sessions/room-messages.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { openScene, type Scene } from "../../kit/stack/scene.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({ agents: ["quick", "hot"] });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

/** Calls a method of a participant through LiveKit's server API, which no SDK for Node covers yet. */
async function ask(room: string, identity: string): Promise<{ status: number; text: string }> {
  const { livekit } = scene.stack;
  const access = new AccessToken(livekit?.apiKey, livekit?.apiSecret, { ttl: 60 });
  access.addGrant({ room, roomAdmin: true });
  const url = `${livekit?.url.replace(/^ws/, "http")}/twirp/livekit.RoomService/PerformRpc`;
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${await access.toJwt()}` },
    body: JSON.stringify({
      room,
      destination_identity: identity,
      method: ALIVE_METHOD,
      payload: "",
      response_timeout_ms: 10_000,
    }),
  });
  return { status: response.status, text: await response.text() };
}

async function agentOf(room: string): Promise<string> {
  const agent = (await scene.rooms.participants(room)).find(({ isAgent }) => isAgent);
  expect(agent, `an agent is in ${room}`).toBeDefined();
  return agent?.identity ?? "";
}

describe("the alive RPC", () => {
  test.each(["quick", "hot"])(
    "is answered by two %s agents of one process, each for its own session",
    async (profile) => {
      const sessions = [await scene.start({ profile }), await scene.start({ profile })];
      for (const { sessionId, room } of sessions) {
        const { status, text } = await ask(room, await agentOf(room));
        expect(status, text).toBe(200);
        expect(JSON.parse(JSON.parse(text).payload)).toEqual({ sessionId, attempt: 1 });
      }
      for (const { sessionId } of sessions) await scene.end(sessionId);
    },
  );

  test("fails for an agent that serves no session yet", async () => {
    const rooms = (await scene.rooms.list())
      .map(({ name }) => name)
      .filter((name) => name.startsWith("standby-"));
    expect(rooms.length).toBeGreaterThan(0);
    const room = rooms[0] ?? "";
    const { status, text } = await ask(room, await agentOf(room));
    expect(status, text).not.toBe(200);
  });
});
