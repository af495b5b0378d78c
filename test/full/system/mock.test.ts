// Sessions in simulated rooms, without LiveKit and without sound.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({ agents: ["quick", "hot", "visited"], mock: true });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

describe("a stack with simulated rooms", () => {
  test("reports in health that rooms are simulated", async () => {
    // The gateway learns by heartbeats which services run.
    const { services } = await until(
      async () => {
        const health = await scene.health();
        return health.status === "healthy" ? health : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: "everything is healthy" },
    );
    expect(services.livekit).toMatchObject({
      status: "running",
      reason: expect.stringContaining("simulated"),
    });
  });

  test("runs warm and hot sessions from start to end without LiveKit", async () => {
    const warm = await scene.start({ profile: "quick", metadata: { n: 1 } });
    const hot = await scene.start({ profile: "hot" });
    expect(warm).toMatchObject({ warm: "warm", url: "ws://simulated.invalid" });
    expect(hot).toMatchObject({ warm: "hot" });
    expect(await scene.job(warm.sessionId)).toMatchObject({ metadata: { n: 1 }, wasConnected: false });
    expect(await scene.job(hot.sessionId)).toMatchObject({ wasConnected: true });
    for (const { sessionId } of [warm, hot]) {
      const session = await scene.end(sessionId);
      expect(session.endedReason).toBe("completed");
      expect(lifeOf(session)).toEqual(expect.arrayContaining(["requested 1", "ready 1", "ended 1"]));
      await scene.logged(sessionId, "the shutdown callback ran");
    }
  });

  test("simulates a user for an agent that waits for one", async () => {
    const { sessionId } = await scene.start({ profile: "visited" });
    await scene.logged(sessionId, "simulated-user (simulated user) came");
  });

  test("serves ten concurrent starts", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => scene.start({ profile: "quick" })));
    expect(new Set(answers.map(({ room }) => room)).size).toBe(10);
  });

  test("continues a session with the next agent after its process is killed", async () => {
    const { sessionId, room } = await scene.start({ profile: "quick" });
    process.kill((await scene.slotOf(sessionId))?.agentProcess.pid, "SIGKILL");
    const session = await scene.sessionWhen(
      sessionId,
      ({ state, attempt }) => state === "ready" && attempt === 2,
      "is ready again",
    );
    expect(session).toMatchObject({ room, failures: 1 });
  });
});
