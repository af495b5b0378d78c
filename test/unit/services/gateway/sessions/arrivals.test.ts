// People who join a room with a token, late, again, or after the end of their session.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hosts as hostsBucket } from "../../../../../libs/contracts/buckets.ts";
import type { SessionEvent } from "../../../../../libs/contracts/sessions/session.ts";
import type { SimulatedRooms } from "../../../../../libs/livekit/simulated-rooms.ts";
import { until } from "../../../../kit/until.ts";
import { joinableRooms, type Rig, receiveWebhook, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig({ livekit: joinableRooms() });
});
afterEach(() => rig.stop());

const rooms = () => rig.livekit?.rooms as SimulatedRooms;
const requests = (): Extract<SessionEvent, { type: "requested" }>[] =>
  rig.events().filter((event) => event.type === "requested");

interface Guest {
  readonly sessionId: string;
  readonly room: string;
  readonly identity: string;
}

async function invite(body: object = {}): Promise<Guest> {
  const { status, body: answer, headers } = await rig.post("/api/livekit/token", body);
  expect(status, JSON.stringify(answer)).toBe(201);
  const claims = JSON.parse(
    Buffer.from(answer.participant_token.split(".")[1] ?? "", "base64url").toString(),
  );
  return {
    sessionId: String(headers["greenroom-session-id"]),
    room: claims.video.room,
    identity: claims.sub,
  };
}

/** Joins a room. @returns the status of the gateway's answer to LiveKit */
async function join({ room, identity }: Pick<Guest, "room" | "identity">): Promise<number> {
  rooms().join(room, { identity, isAgent: false });
  return receiveWebhook(rig, { event: "participant_joined", room, identity, kind: "STANDARD", name: "" });
}

const isOver = async (sessionId: string) => {
  await until(async () => (await rig.get(`/api/session/${sessionId}`)).body.state === "ended", {
    what: `${sessionId} has ended`,
  });
};

/** Ends a session as its host does when the last user has left. */
const userLeft = (sessionId: string) =>
  rig.move(sessionId, {
    type: "user_left",
    ...{ tenant: "default", sessionId, attempt: 1, host: "host-1", epoch: 1 },
    at: "2026-01-01T00:00:00.000Z",
  });

describe("a token of LiveKit's endpoint", () => {
  test("starts its session when its user joins, once, with what it was requested for", async () => {
    const guest = await invite({
      participant_identity: "bob",
      participant_name: "Bob",
      room_config: { agents: [{ agent_name: "echo", metadata: "tenant-42" }] },
    });
    expect(requests()).toEqual([]);
    await rig.another();
    expect(await Promise.all([join(guest), join(guest)])).toEqual([200, 200]);
    expect(requests()).toMatchObject([
      {
        sessionId: guest.sessionId,
        room: guest.room,
        profile: "echo",
        user: { id: "bob", name: "Bob" },
        metadata: { metadata: "tenant-42" },
        metadataText: "*",
      },
    ]);
  });

  test("starts its session as soon as LiveKit creates the room", async () => {
    const { room, sessionId } = await invite();
    expect(await receiveWebhook(rig, { event: "room_started", room })).toBe(200);
    expect(requests()).toMatchObject([{ sessionId, room }]);
    expect(await receiveWebhook(rig, { event: "room_started", room })).toBe(200);
    expect(requests()).toHaveLength(1);
  });

  test("starts no session for a repeated report about somebody who has left again", async () => {
    const { room, identity } = await invite();
    await receiveWebhook(rig, { event: "participant_joined", room, identity, kind: "STANDARD" });
    expect(requests()).toEqual([]);
  });

  test("leaves the choice to the first who joins if several people are invited", async () => {
    const [ann, bob] = [
      await invite({ room_name: "lobby", participant_identity: "ann" }),
      await invite({ room_name: "lobby", participant_identity: "bob" }),
    ];
    await receiveWebhook(rig, { event: "room_started", room: "lobby" });
    expect(requests()).toEqual([]);
    await join(bob);
    await join(ann);
    expect(requests()).toMatchObject([{ room: "lobby", user: { id: "bob" } }]);
  });

  test("gives its user another session after the first one has ended", async () => {
    const guest = await invite();
    await join(guest);
    await until(async () => (await rig.get(`/api/session/${guest.sessionId}`)).body.state === "ready", {
      what: "the session is ready",
    });
    rooms().leave(guest.room, guest.identity);
    await userLeft(guest.sessionId);
    await isOver(guest.sessionId);
    // A repeated webhook of the first time does not count.
    const { room, identity } = guest;
    await receiveWebhook(rig, { event: "participant_joined", room, identity, kind: "STANDARD" });
    expect(requests()).toHaveLength(1);
    await join(guest);
    expect(requests()).toHaveLength(2);
    expect(requests()[1]).toMatchObject({ room: guest.room, user: { id: guest.identity } });
    expect(requests()[1]?.sessionId).not.toBe(guest.sessionId);
  });

  test("gives its user another session when the user is back before the end of the first", async () => {
    const guest = await invite();
    await join(guest);
    await until(async () => (await rig.get(`/api/session/${guest.sessionId}`)).body.state === "ready", {
      what: "the session is ready",
    });
    await join(guest);
    expect(requests()).toHaveLength(1);
    await userLeft(guest.sessionId);
    await until(() => requests().length === 2, { what: "the second session is requested" });
  });

  test("gives no session of their own to people who join the user shortly before the user leaves", async () => {
    const guest = await invite();
    const colleague = { room: guest.room, identity: "a colleague" };
    await join(guest);
    await until(async () => (await rig.get(`/api/session/${guest.sessionId}`)).body.state === "ready", {
      what: "the session is ready",
    });
    await join(colleague);
    rooms().leave(guest.room, guest.identity);
    await userLeft(guest.sessionId);
    await isOver(guest.sessionId);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(requests()).toHaveLength(1);
  });

  test("refuses a user who returns after an end by the API", async () => {
    const guest = await invite();
    await join(guest);
    await rig.post(`/api/session/${guest.sessionId}/end`);
    await isOver(guest.sessionId);
    expect(await rooms().participants(guest.room)).toHaveLength(1);
    expect(await join(guest)).toBe(200);
    expect(await rooms().participants(guest.room)).toEqual([]);
    expect(requests()).toHaveLength(1);
  });

  test("disturbs nobody who goes on in the room after the agent has left", async () => {
    const guest = await invite();
    const colleague = { room: guest.room, identity: "a colleague" };
    await join(guest);
    await join(colleague);
    await until(async () => (await rig.get(`/api/session/${guest.sessionId}`)).body.state === "ready", {
      what: "the session is ready",
    });
    await rig.move(guest.sessionId, {
      type: "agent_ended",
      ...{ tenant: "default", sessionId: guest.sessionId, attempt: 1, host: "host-1", epoch: 1 },
      ...{ at: "2026-01-01T00:00:00.000Z", reason: "the colleague takes over", retryable: true },
    });
    await isOver(guest.sessionId);
    expect(await Promise.all([join(guest), join(colleague)])).toEqual([200, 200]);
    expect(requests()).toHaveLength(1);
    expect(await rooms().participants(guest.room)).toHaveLength(2);
  });

  test("removes a user whose agent no longer exists", async () => {
    const guest = await invite({ room_config: { agents: [{ agent_name: "echo" }] } });
    const [host] = await rig.bus.kv.entries(hostsBucket);
    const { echo } = host?.value.profiles ?? {};
    if (host === undefined || echo === undefined) throw new Error("the host has no profile");
    await rig.bus.kv.update(
      hostsBucket,
      { ...host.value, sequence: 2, profiles: { talk: echo } },
      host.revision,
    );
    const asks = () => rig.post("/api/livekit/token", { room_config: { agents: [{ agent_name: "echo" }] } });
    await until(async () => (await asks()).status === 404, { what: "the profile is gone" });
    expect(await join(guest)).toBe(200);
    expect(await rooms().participants(guest.room)).toEqual([]);
    expect(requests()).toEqual([]);
  });

  test("asks LiveKit to report the arrival again while no host is up", async () => {
    const guest = await invite();
    const [host] = await rig.bus.kv.entries(hostsBucket);
    await rig.bus.kv.delete(hostsBucket, "host-1", host?.revision ?? 0);
    await until(async () => (await join(guest)) === 503, { what: "the gateway answers 503" });
    expect(await rooms().participants(guest.room)).toHaveLength(1);
  });
});

test("accepts a webhook with the largest metadata that LiveKit has", async () => {
  const text = '"'.repeat(512 * 1024);
  const participant = { identity: "ann", kind: "STANDARD", name: "", metadata: text };
  const webhook = { event: "participant_joined", room: "team", ...participant, roomMetadata: text };
  expect(await receiveWebhook(rig, webhook)).toBe(200);
});

describe("a token of POST /api/session/start", () => {
  test("gives its user another session after the first one has ended", async () => {
    const { sessionId, room, identity } = (
      await rig.post("/api/session/start", { userId: "bob", metadata: { topic: "x" } })
    ).body;
    await userLeft(sessionId);
    await isOver(sessionId);
    await join({ room, identity });
    expect(requests()[1]).toMatchObject({ room, user: { id: "bob" }, metadata: { topic: "x" } });
  });

  test("starts nothing in a room that a client named", async () => {
    const { sessionId } = (await rig.post("/api/session/start", { room: "team", userId: "bob" })).body;
    await userLeft(sessionId);
    await isOver(sessionId);
    expect(await join({ room: "team", identity: "bob" })).toBe(200);
    expect(await join({ room: "team", identity: "ann" })).toBe(200);
    expect(requests()).toHaveLength(1);
  });
});

test("starts the session of an invited user whose webhook was lost, in a sweep", {
  timeout: 60_000,
}, async () => {
  const guest = await invite();
  rooms().join(guest.room, { identity: guest.identity, isAgent: false });
  rooms().join("somebody-elses", { identity: "eve", isAgent: false });
  await until(() => requests().length > 0, { timeoutMs: 30_000, what: "the room is found" });
  expect(requests()).toMatchObject([{ sessionId: guest.sessionId, room: guest.room }]);
});

test("starts the session of a returned user whose webhook was lost, in a sweep, and lets others stay", {
  timeout: 60_000,
}, async () => {
  const staying = await invite();
  await join(staying);
  const ended = await rig.post(`/api/session/${staying.sessionId}/end`, {});
  expect(ended.status, JSON.stringify(ended.body)).toBe(200);
  await isOver(staying.sessionId);
  rooms().join(staying.room, { identity: staying.identity, isAgent: false, joinedAtMs: Date.now() - 1000 });
  const returning = await invite();
  await join(returning);
  await userLeft(returning.sessionId);
  await isOver(returning.sessionId);
  await until(() => requests().length > 2, { timeoutMs: 30_000, what: "the returned user is found" });
  expect(requests()[2]).toMatchObject({ room: returning.room, user: { id: returning.identity } });
  expect((await rooms().participants(staying.room)).map(({ identity }) => identity)).toContain(
    staying.identity,
  );
});
