// LiveKit is killed and restarted: the API stays up and reports it, and nothing hangs.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({ agents: ["quick", "hot"] });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

const livekitIs = (status: string) =>
  until(
    async () => {
      const { services } = await scene.health();
      return services.livekit.status === status ? services.livekit : undefined;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 200, what: `health shows LiveKit as ${status}` },
  );

const startSome = () => Promise.all(["quick", "hot", "quick"].map((profile) => scene.start({ profile })));

/** True for a ready session with the agent of its attempt in the room, and for a session that ended with a reason. */
async function hasAgentOrEnded(session: Json): Promise<boolean> {
  if (session.state === "ended") return session.endedReason !== undefined;
  if (session.state !== "ready") return false;
  const inside = (await scene.rooms.participants(session.room)).map(({ identity }) => identity);
  if (session.attempt > 1) return inside.join() === `agent-${session.sessionId}-${session.attempt}`;
  return inside.length === 1;
}

async function allRecover(running: readonly Json[]): Promise<Json[]> {
  const seen: Json[] = [];
  for (const { sessionId } of running) {
    let session: Json;
    await until(
      async () => {
        session = await scene.session(sessionId);
        return await hasAgentOrEnded(session);
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 250,
        what: () => `the session has its agent in its room again, or has ended: ${JSON.stringify(session)}`,
      },
    );
    seen.push(session);
  }
  return seen;
}

async function newSessionsWork(): Promise<void> {
  await scene.pool("hot", { idle: 2, hot: 2 });
  const [warm, hot] = await Promise.all(["quick", "hot"].map((profile) => scene.start({ profile })));
  expect(hot).toMatchObject({ warm: "hot", room: expect.stringMatching(/^standby-/) });
  for (const { sessionId, room } of [warm, hot]) {
    expect(await scene.job(sessionId)).toMatchObject({ attempt: 1 });
    expect(await scene.rooms.participants(room)).toHaveLength(1);
  }
}

describe("an outage of LiveKit", () => {
  test("is survived by sessions when LiveKit restarts at once", async () => {
    const running = await startSome();
    await scene.stack.livekit?.kill9();
    await scene.stack.livekit?.restart();
    for (const session of await allRecover(running)) expect(session.state).toBe("ready");
    await newSessionsWork();
  });

  test("is reported by the API, and makes sessions wait without a failure until LiveKit is back", async () => {
    const running = await startSome();
    await scene.stack.livekit?.kill9();
    const { reason } = await livekitIs("failed");
    expect(reason).toContain("listing rooms");
    expect((await scene.health()).status).toBe("unhealthy");
    expect((await scene.stack.get("/readyz")).status).toBe(200);

    const { status, body } = await scene.ask({ profile: "quick", wait: 0 });
    expect(status, JSON.stringify(body)).toBe(202);
    const waiting = await scene.sessionWhen(body.sessionId, ({ attempt }) => attempt > 1, "is retried");
    expect(waiting).toMatchObject({ failures: 0 });
    const reasons = waiting.history.flatMap(({ reason }: { reason?: string }) => reason ?? []);
    expect(reasons).toContainEqual(
      expect.stringMatching(/^creating the room failed after \d+ ms: creating the room session-/),
    );

    // The agents try to rejoin their rooms for a while, and then give up.
    for (const { sessionId } of running)
      await scene.sessionWhen(sessionId, ({ attempt }) => attempt > 1, "has lost its agent");
    await scene.stack.livekit?.restart();
    await livekitIs("running");
    for (const session of await allRecover([...running, body])) expect(session.state).toBe("ready");
    await newSessionsWork();
  });
});
