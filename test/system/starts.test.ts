// Session starts on real servers: warm, hot, cold and many at once.
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { rollups, sessions } from "../../libs/contracts/buckets.ts";
import type { Rollup } from "../../libs/contracts/fleet/pool.ts";
import { buildRollups } from "../../services/janitor/rollup.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({ agents: ["quick", "hot", "cold", "slow-prewarm", "says-ready"] });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

const byKey = (a: Rollup, b: Rollup): number => rollups.keyOf(a).localeCompare(rollups.keyOf(b));

describe("session start", () => {
  test("returns a prewarmed agent, a room and a token, and keeps the session's history", async () => {
    const answer = await scene.start({
      profile: "quick",
      userId: "ada",
      userName: "Ada",
      metadata: { order: [1, "ü"], vip: true },
    });
    expect(answer).toMatchObject({
      profile: "quick",
      state: "ready",
      attempt: 1,
      prewarmed: true,
      warm: "warm",
      room: `session-${answer.sessionId}`,
      identity: "ada",
      url: scene.stack.livekit?.url,
    });
    const session = await scene.session(answer.sessionId);
    expect(lifeOf(session)).toEqual(["requested 1", "dispatched 1", "joined 1", "ready 1"]);
    expect(session).toMatchObject({ userId: "ada", userName: "Ada", host: "host-1", failures: 0 });
    expect(session.timings.readyMs).toBeGreaterThanOrEqual(session.timings.joinMs);
    expect(await scene.job(answer.sessionId)).toEqual({
      metadata: { order: [1, "ü"], vip: true },
      wasConnected: false,
      contextIsMine: true,
      attempt: 1,
      resumed: false,
      prewarmed: true,
      pid: expect.any(Number),
    });
    expect(await scene.rooms.participants(answer.room)).toMatchObject([
      { identity: `agent-${answer.sessionId}-1`, isAgent: true },
    ]);
  });

  test("stores each state as a revision of the session's record", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    await scene.end(sessionId);
    const revisions = await scene.revisions(sessionId);
    const states = revisions.map(({ state }) => state);
    // A `ready` may overtake its `joined`, and one write stores both `requested` and the first choice of a host.
    expect(states.filter((state) => state !== "requested" && state !== "joined")).toEqual([
      "dispatched",
      "ready",
      "ended",
    ]);
    expect(lifeOf(revisions.at(-1)!)).toEqual(
      expect.arrayContaining(["requested 1", "dispatched 1", "ready 1", "ended 1"]),
    );
    expect(revisions.at(-1)).toMatchObject({ endedReason: "completed", fault: "none" });
  });

  test("serves a session in the standby room of a hot agent, whose entry is already connected", async () => {
    const answer = await scene.start({ profile: "hot", metadata: { n: 1 } });
    expect(answer).toMatchObject({ prewarmed: true, warm: "hot" });
    expect(answer.room).toMatch(/^standby-/);
    expect(await scene.job(answer.sessionId)).toMatchObject({ wasConnected: true, metadata: { n: 1 } });
    const serves = await scene.slotOf(answer.sessionId);
    expect(answer.room).toBe(`standby-${serves?.slot.id}`);
    expect(await scene.rooms.participants(answer.room)).toMatchObject([
      { identity: `agent-${serves?.slot.id}`, isAgent: true },
    ]);
    await scene.pool("hot", { idle: 2, hot: 2 });
  });

  test("serves a session in the room that it names, even with a hot agent of another room", async () => {
    const answer = await scene.start({ profile: "hot", room: "the blue room" });
    expect(answer).toMatchObject({ room: "the blue room", warm: "warm" });
    expect(await scene.job(answer.sessionId)).toMatchObject({ wasConnected: false });
    const inside = await scene.rooms.participants("the blue room");
    expect(inside).toMatchObject([{ identity: `agent-${answer.sessionId}-1`, isAgent: true }]);
  });

  test("starts an agent for a profile without idle agents", async () => {
    const answer = await scene.start({ profile: "cold" });
    expect(answer).toMatchObject({ prewarmed: false, warm: "cold" });
    expect(await scene.job(answer.sessionId)).toMatchObject({ prewarmed: true });
  });

  test("answers 202 when the agent takes longer than the client waits, and becomes ready later", async () => {
    const { status, body } = await scene.ask({ profile: "slow-prewarm", wait: 100 });
    expect(status).toBe(202);
    expect(body).toMatchObject({ success: true, status: "starting" });
    expect(body.estimatedWait).toMatch(/^\d+-\d+s$/);
    expect(body.startupTimings).toMatchObject({ phase: expect.stringMatching(/^(dispatch|queue|assign)$/) });
    expect(body.startupTimings.totalMs).toBeGreaterThan(50);
    const session = await scene.sessionWhen(
      body.sessionId,
      ({ state }) => state === "ready",
      "becomes ready",
    );
    expect(session.startupTime).toBeGreaterThan(1);
    const { phase, totalMs, ...phases } = session.startupTimings;
    expect(phase).toBe("ready");
    expect(Object.keys(phases)).toEqual(["dispatchMs", "queueMs", "assignMs", "joinMs", "entryMs"]);
    // The prewarm of the cold agent is a part of its join.
    expect(phases.joinMs).toBeGreaterThan(1000);
    expect(Math.abs(totalMs - session.startupTime * 1000)).toBeLessThan(50);
  });

  test("accepts ready() of an agent without an AgentSession", async () => {
    const { sessionId } = await scene.start({ profile: "says-ready" });
    expect(lifeOf(await scene.session(sessionId)).at(-1)).toBe("ready 1");
  });

  test.each([10, 20])("serves %i concurrent starts, each in a room of its own", async (count) => {
    const answers = await Promise.all(
      Array.from({ length: count }, (_, n) => scene.start({ profile: "quick", metadata: { n } })),
    );
    expect(new Set(answers.map(({ sessionId }) => sessionId)).size).toBe(count);
    expect(new Set(answers.map(({ room }) => room)).size).toBe(count);
    const slots = await Promise.all(answers.map(({ sessionId }) => scene.slotOf(sessionId)));
    expect(new Set(slots.map((serves) => serves?.slot.id)).size).toBe(count);
    const jobs = await Promise.all(answers.map(({ sessionId }) => scene.job(sessionId)));
    expect(jobs.map(({ metadata }) => metadata.n)).toEqual([...Array(count).keys()]);
  });

  test("keeps eight concurrent sessions apart, from start over token to end", async () => {
    const flow = async (n: number) => {
      const profile = n % 2 === 0 ? "quick" : "hot";
      const { sessionId, room } = await scene.start({ profile, userId: `user-${n}` });
      const token = await scene.stack.post("/api/token", { sessionId, userName: `Guest ${n}` });
      expect(token.body).toMatchObject({ success: true, room });
      const before = await scene.session(sessionId);
      expect(before).toMatchObject({ state: "ready", userId: `user-${n}`, profile });
      return await scene.end(sessionId);
    };
    const sessions = await Promise.all(Array.from({ length: 8 }, (_, n) => flow(n)));
    for (const session of sessions) expect(session).toMatchObject({ endedReason: "completed", failures: 0 });
  });

  test("streams the events of a session to the end, even to a client that connects late", async () => {
    const { body } = await scene.ask({ profile: "slow-prewarm", wait: 0 });
    const response = await fetch(`${scene.stack.url}/api/session/${body.sessionId}/events`);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const ending = scene
      .sessionWhen(body.sessionId, ({ state }) => state === "ready", "becomes ready")
      .then(() => scene.end(body.sessionId));
    const text = await response.text(); // The stream ends after `ended`.
    await ending;
    const states = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data!).state);
    expect(states).toEqual(expect.arrayContaining(["ready", "ended"]));
    expect(states.at(-1)).toBe("ended");
  });
});

describe("the rollup of a minute", () => {
  test("holds the sum of its records", async () => {
    const ids = await Promise.all(
      ["quick", "quick", "hot"].map(async (profile) => (await scene.start({ profile })).sessionId),
    );
    await Promise.all(ids.map((id) => scene.end(id)));
    const records = (await scene.bus.kv.entries(sessions)).map(({ value }) => value);
    expect(records.length).toBeGreaterThanOrEqual(3);
    const expected = buildRollups(records).sort(byKey);
    let stored: Rollup[] = [];
    await until(
      async () => {
        stored = (await scene.bus.kv.entries(rollups)).map(({ value }) => value).sort(byKey);
        return isDeepStrictEqual(stored, expected);
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 250,
        what: () => `the rollups are ${JSON.stringify(expected)}; they are ${JSON.stringify(stored)}`,
      },
    );
  });
});

describe("pool resize", () => {
  test("grows and shrinks the pool, and refuses a size above its maximum", async () => {
    const resize = (body: object) => scene.stack.post("/api/pool/resize", { profile: "quick", ...body });
    expect((await resize({ size: 6, hot: 2 })).body).toMatchObject({
      success: true,
      pool: { target: { min: 6, hot: 2, source: "api" } },
    });
    await scene.pool("quick", { idle: 6, hot: 2 });
    await resize({ size: 1, hot: 0 });
    await scene.pool("quick", { idle: 1, hot: 0 });
    const refused = await resize({ size: 51 });
    expect(refused.status).toBe(400);
    await resize({ size: 3, hot: 0 });
    await scene.pool("quick", { idle: 3, hot: 0 });
  });
});
