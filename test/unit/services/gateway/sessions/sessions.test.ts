// Reading, listing and ending sessions, their logs, and tokens for their rooms.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { invitations } from "../../../../../libs/contracts/buckets.ts";
import type { HostProfile } from "../../../../../libs/contracts/fleet/host.ts";
import { metadataTextOf, type Requested } from "../../../../../libs/contracts/sessions/session.ts";
import { sessionLogs } from "../../../../../libs/contracts/streams.ts";
import { until } from "../../../../kit/until.ts";
import { aHost, joinableRooms, loseAgent, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig();
});
afterEach(() => rig.stop());

const start = async (body: object = {}): Promise<string> =>
  (await rig.post("/api/session/start", body)).body.sessionId;
/** Starts a session that waits, and waits until the view knows it. */
const startWaiting = async (body: object = {}): Promise<string> => {
  rig.setPlay("wait");
  const id = await start({ wait: 0, ...body });
  await until(async () => (await rig.get(`/api/session/${id}`)).body.queue !== undefined, {
    what: "the session is known to wait",
  });
  return id;
};
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

describe("GET /api/session/:id", () => {
  it("returns states, times and warmth", async () => {
    const id = await start({ userId: "u1", userName: "Ann" });
    const { status, body } = await rig.get(`/api/session/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      success: true,
      sessionId: id,
      status: "ready",
      state: "ready",
      userId: "u1",
      userName: "Ann",
      profile: "echo",
      prewarmed: true,
      warm: "hot",
      attempt: 1,
      failures: 0,
      recovering: false,
      host: "host-1",
      timings: { joinMs: 3, readyMs: 5 },
    });
    expect(body.history.map(({ state }: { state: string }) => state)).toEqual([
      "requested",
      "dispatched",
      "joined",
      "ready",
    ]);
    expect(Math.abs(body.createdAt - Date.now() / 1000)).toBeLessThan(5);
    expect(body.startupTime).toBeGreaterThanOrEqual(0.005);
    expect(body).not.toHaveProperty("requestHash");
  });

  it("shows no room before the room is final", async () => {
    const id = await startWaiting();
    expect((await rig.get(`/api/session/${id}`)).body).toMatchObject({
      status: "starting",
      room: null,
      startupTime: null,
      warm: null,
      version: null,
      queue: { position: 1, length: 1 },
    });
  });

  it("shows the reason and the fault of an ended session", async () => {
    const id = await start();
    await rig.move(id, loseAgent({ sessionId: id, attempt: 1 }, "the host is gone"));
    await until(async () => (await rig.get(`/api/session/${id}`)).body.status === "ended", {
      what: "it ended",
    });
    const { body } = await rig.get(`/api/session/${id}`);
    expect(body).toMatchObject({ state: "ended", endedReason: "agent_lost", fault: "platform" });
    expect(body.history.at(-1).reason).toBe("the host is gone");
  });

  it("returns 404 for an unknown id, and 400 with the reason for an invalid one", async () => {
    const unknown = await rig.get("/api/session/s_nobody");
    expect({ status: unknown.status, code: unknown.body.error.code }).toEqual({
      status: 404,
      code: "not_found",
    });
    for (const id of ["a.b", "a%20b", "%3E", "%00", "x".repeat(65), "x".repeat(2000)]) {
      const odd = await rig.get(`/api/session/${id}`);
      expect({ id, status: odd.status }).toEqual({ id, status: 400 });
      expect(odd.body.error.code).toBe("invalid_request");
    }
  });
});

describe("GET /api/sessions", () => {
  it("lists all sessions newest first over pages, while new ones start", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      ids.unshift(await start());
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const first = (await rig.get("/api/sessions?limit=2")).body;
    await start();
    const second = (await rig.get(`/api/sessions?limit=2&cursor=${first.nextCursor}`)).body;
    const third = (await rig.get(`/api/sessions?limit=2&cursor=${second.nextCursor}`)).body;
    const seen = [first, second, third].flatMap(({ sessions }) =>
      sessions.map((one: { sessionId: string }) => one.sessionId),
    );
    expect(seen).toEqual(ids);
    expect(third.nextCursor).toBeNull();
  });

  it("filters by state, by starting, and by profile", async () => {
    const ready = await start();
    const waiting = await startWaiting();
    const idsOf = async (query: string) =>
      (await rig.get(`/api/sessions?${query}`)).body.sessions.map(
        (one: { sessionId: string }) => one.sessionId,
      );
    expect(await idsOf("state=ready")).toEqual([ready]);
    expect(await idsOf("state=requested")).toEqual([waiting]);
    expect(await idsOf("state=starting")).toEqual([waiting]);
    expect(await idsOf("profile=other")).toEqual([]);
    expect(await idsOf("profile=echo")).toHaveLength(2);
  });

  it.each(["limit=0", "limit=201", "limit=x", "state=bogus", "cursor=!!", "cursor=WzFd", "foo=1"])(
    "rejects %s, naming the field",
    async (query) => {
      const { status, body } = await rig.get(`/api/sessions?${query}`);
      expect(status).toBe(400);
      expect(body.error.message).toMatch(/^query/);
      expect(body.error.message).toContain(query.split("=")[0]);
    },
  );
});

describe("POST /api/session/:id/end", () => {
  it("answers when the session has ended, and the same for a session that had ended before", async () => {
    const id = await start();
    const first = await rig.post(`/api/session/${id}/end`);
    expect(first).toMatchObject({
      status: 200,
      body: { success: true, status: "ended", endedReason: "completed" },
    });
    const second = await rig.post(`/api/session/${id}/end`, {});
    expect(second).toMatchObject({ status: 200, body: { status: "ended" } });
    expect(rig.events().filter(({ type }) => type === "end_requested")).toEqual([
      expect.objectContaining({ endedReason: "completed", reason: "ended by the API" }),
    ]);
  });

  it("cancels a session that has no agent yet", async () => {
    const id = await startWaiting();
    expect((await rig.post(`/api/session/${id}/end`)).body.endedReason).toBe("cancelled");
  });

  it("returns 404 for an unknown session", async () => {
    expect((await rig.post("/api/session/s_nobody/end")).status).toBe(404);
  });
});

describe("GET /api/session/:id/logs", () => {
  it("returns the newest lines, oldest first", async () => {
    const id = await start();
    for (let batch = 0; batch < 4; batch++) {
      await rig.bus.streams.publish(sessionLogs, {
        tenant: "default",
        sessionId: id,
        lines: [0, 1].map((n) => ({
          at: "2026-01-01T00:00:00Z",
          level: "info",
          message: `line ${batch * 2 + n}`,
        })),
      });
    }
    const { body } = await rig.get(`/api/session/${id}/logs?limit=3`);
    expect(body.lines.map(({ message }: { message: string }) => message)).toEqual([
      "line 5",
      "line 6",
      "line 7",
    ]);
    expect((await rig.get(`/api/session/${id}/logs`)).body.lines).toHaveLength(8);
  });

  it("returns 404 for an unknown session", async () => {
    expect((await rig.get("/api/session/s_nobody/logs")).status).toBe(404);
  });
});

describe("POST /api/token", () => {
  it("returns a token for the agent's room, with a new identity, for ten minutes", async () => {
    const sessionId = await start();
    const { status, body } = await rig.post("/api/token", { sessionId, userName: "Alice" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ success: true, room: `standby-${sessionId}`, expiresIn: 600 });
    expect(claimsOf(body.token)).toMatchObject({
      sub: body.identity,
      name: "Alice",
      video: { room: body.room },
    });
    const other = await rig.post("/api/token", { sessionId, userName: "Alice" });
    expect(other.body.identity).not.toBe(body.identity);
    const named = await rig.post("/api/token", { sessionId, userName: "Alice", userId: "alice" });
    expect(named.body.identity).toBe("alice");
  });

  it("is refused while the room may still change, and after the end", async () => {
    const waiting = await startWaiting();
    const early = await rig.post("/api/token", { sessionId: waiting, userName: "A" });
    expect({ status: early.status, code: early.body.error.code }).toEqual({ status: 409, code: "conflict" });
    expect(early.body.error.message).toContain("ready");
    await rig.post(`/api/session/${waiting}/end`);
    const late = await rig.post("/api/token", { sessionId: waiting, userName: "A" });
    expect(late.status).toBe(409);
    expect(late.body.error.message).toContain("ended");
  });

  it("is granted early for a room that the client named", async () => {
    const sessionId = await startWaiting({ room: "r1" });
    expect((await rig.post("/api/token", { sessionId, userName: "A" })).body.room).toBe("r1");
  });

  it("is refused for an agent's identity, because it would disconnect the agent", async () => {
    const sessionId = await start();
    const { status } = await rig.post("/api/token", {
      sessionId,
      userName: "A",
      userId: `agent-${sessionId}-1`,
    });
    expect(status).toBe(400);
  });
});

describe("POST /api/livekit/token", () => {
  const ask = (body: object) => rig.post("/api/livekit/token", { start: "now", ...body });

  it("reserves nothing, and names the session that starts when somebody joins", async () => {
    await rig.stop();
    rig = await startRig({ livekit: joinableRooms() });
    const { status, body, headers } = await rig.post("/api/livekit/token", { participant_identity: "bob" });
    expect(status).toBe(201);
    const sessionId = headers["greenroom-session-id"];
    expect(claimsOf(body.participant_token)).toMatchObject({
      sub: "bob",
      video: { room: `session-${sessionId}` },
    });
    expect(rig.events()).toEqual([]);
    const stored = await rig.bus.kv.entries(invitations);
    expect(stored.map(({ value }) => value)).toMatchObject([
      { room: `session-${sessionId}`, user: { id: "bob", name: "bob" } },
    ]);
  });

  it("is refused while no agent could serve its session", async () => {
    await rig.stop();
    rig = await startRig({ hosts: [] });
    const { status, body } = await rig.post("/api/livekit/token", {});
    expect({ status, code: body.error.code }).toEqual({ status: 503, code: "no_hosts" });
    expect(await rig.bus.kv.entries(invitations)).toEqual([]);
  });

  it("starts the session at once if nobody can join, because rooms are simulated", async () => {
    rig.setPlay("wait");
    await rig.post("/api/livekit/token", { participant_identity: "bob" });
    expect(rig.events()).toMatchObject([{ type: "requested", user: { id: "bob" } }]);
  });

  it("starts the session at once if the query asks for it", async () => {
    await rig.stop();
    rig = await startRig({ livekit: joinableRooms() });
    rig.setPlay("wait");
    const { status } = await rig.post("/api/livekit/token?start=now", { participant_identity: "bob" });
    expect(status).toBe(201);
    expect(rig.events()).toMatchObject([{ type: "requested", user: { id: "bob" } }]);
  });

  it("answers 201 at once and starts a session in the room", async () => {
    rig.setPlay("ignore");
    const { status, body, headers } = await ask({
      room_name: "my room",
      participant_identity: "bob",
      participant_name: "Bob",
      participant_metadata: "m",
      participant_attributes: { a: "b" },
      room_config: { agents: [{ agent_name: "echo", metadata: '{"topic":"x"}' }] },
      from_a_newer_client: true,
    });
    expect(status).toBe(201);
    expect(Object.keys(body).sort()).toEqual(["participant_token", "server_url"]);
    expect(claimsOf(body.participant_token)).toMatchObject({
      sub: "bob",
      name: "Bob",
      metadata: "m",
      attributes: { a: "b" },
      video: { room: "my room" },
    });
    expect(rig.events()).toEqual([
      expect.objectContaining({
        type: "requested",
        sessionId: headers["greenroom-session-id"],
        room: "my room",
        profile: "echo",
        metadata: { topic: "x" },
      }),
    ]);
  });

  it("returns one session to callers that race for a room, and another after its end", async () => {
    rig.setPlay("wait");
    const race = await Promise.all(
      [1, 2, 3].map((n) => ask({ room_name: "r", participant_identity: `p${n}` })),
    );
    expect(race.map(({ status }) => status)).toEqual([201, 201, 201]);
    const ids = new Set(race.map(({ headers }) => headers["greenroom-session-id"]));
    expect(ids.size).toBe(1);
    const [first] = [...ids];
    expect((await rig.post(`/api/session/${first}/end`)).body.status).toBe("ended");
    const next = await ask({ room_name: "r" });
    expect(next.headers["greenroom-session-id"]).not.toBe(first);
    expect(rig.events().filter(({ type }) => type === "requested")).toHaveLength(2);
  });

  it("lets another person into the room of a running session", async () => {
    const id = await start();
    const { status, headers } = await ask({ room_name: `standby-${id}` });
    expect({ status, id: headers["greenroom-session-id"] }).toEqual({ status: 201, id });
  });

  it("invents a room when none is named, and refuses reserved ones", async () => {
    rig.setPlay("wait");
    const [a, b] = [await ask({}), await ask({})];
    const rooms = [a, b].map(({ body }) => claimsOf(body.participant_token).video.room);
    expect(new Set(rooms).size).toBe(2);
    for (const room of ["standby-x", "session-x"]) expect((await ask({ room_name: room })).status).toBe(400);
  });

  it("refuses an unknown agent name with the known profiles, and uses the default profile without a name", async () => {
    rig.setPlay("wait");
    const { status, body } = await ask({ room_config: { agents: [{ agent_name: "my-agent" }] } });
    expect({ status, code: body.error.code }).toEqual({ status: 404, code: "unknown_profile" });
    expect(body.error.message).toContain('no profile is called "my-agent". Known profiles: echo');
    expect(rig.events()).toEqual([]);
    await ask({ room_config: { agents: [{ agent_name: "" }] } });
    expect(rig.events()[0]).toMatchObject({ profile: "echo" });
  });

  it("uses the default profile for an unknown name while a host of an earlier version runs", async () => {
    const { isolation: _, ...earlier } = aHost().profiles.echo ?? {};
    await rig.stop();
    rig = await startRig({ hosts: [{ ...aHost(), profiles: { echo: earlier as HostProfile } }] });
    rig.setPlay("wait");
    await ask({ room_config: { agents: [{ agent_name: "my-agent" }] } });
    expect(rig.events()[0]).toMatchObject({ profile: "echo" });
  });

  it.each(["tenant-42", "", "12345678901234567890", '{"a": 1}', '{"a":1}', "[1]", "null"])(
    "passes the metadata %j to the agent as it is",
    async (metadata) => {
      rig.setPlay("wait");
      await ask({ room_config: { agents: [{ agent_name: "echo", metadata }] } });
      expect(metadataTextOf(rig.events()[0] as Requested)).toBe(metadata);
    },
  );
});

describe("a session that lost its agent", () => {
  it("keeps its room, so that tokens for it are granted during the failover", async () => {
    await rig.stop();
    rig = await startRig({ maxAttempts: 3 });
    const id = await start();
    await rig.move(id, loseAgent({ sessionId: id, attempt: 1 }, "the host is gone"));
    await until(async () => (await rig.get(`/api/session/${id}`)).body.recovering, {
      what: "the session recovers",
    });
    expect((await rig.get(`/api/session/${id}`)).body).toMatchObject({
      status: "starting",
      attempt: 2,
      room: `standby-${id}`,
    });
    expect((await rig.post("/api/token", { sessionId: id, userName: "A" })).body.room).toBe(`standby-${id}`);
  });
});
