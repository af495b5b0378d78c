// LiveKit is killed and comes back: the API stays up and says so, and nothing hangs for ever.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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

/** A record that says ready, and an agent of that very attempt in its room; or an end with a reason. */
async function isTrueOrOver(session: Json): Promise<boolean> {
  if (session.state === "ended") return session.endedReason !== undefined;
  if (session.state !== "ready") return false;
  const inside = (await scene.rooms.participants(session.room)).map(({ identity }) => identity);
  if (session.attempt > 1) return inside.join() === `agent-${session.sessionId}-${session.attempt}`;
  return inside.length === 1;
}

async function allGetOverIt(running: readonly Json[]): Promise<Json[]> {
  const seen: Json[] = [];
  for (const { sessionId } of running) {
    let session: Json;
    await until(
      async () => {
        session = await scene.session(sessionId);
        return await isTrueOrOver(session);
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 250,
        what: () => `the session has its agent in its room again, or is over: ${JSON.stringify(session)}`,
      },
    );
    seen.push(session);
  }
  return seen;
}

async function newOnesWork(): Promise<void> {
  await scene.pool("hot", { idle: 2, hot: 2 });
  const [warm, hot] = await Promise.all(["quick", "hot"].map((profile) => scene.start({ profile })));
  expect(hot).toMatchObject({ warm: "hot", room: expect.stringMatching(/^standby-/) });
  for (const { sessionId, room } of [warm, hot]) {
    expect(await scene.job(sessionId)).toMatchObject({ attempt: 1 });
    expect(await scene.rooms.participants(room)).toHaveLength(1);
  }
}

test("sessions get over a LiveKit that is restarted at once", async () => {
  const running = await startSome();
  await scene.stack.livekit?.kill9();
  await scene.stack.livekit?.restart();
  for (const session of await allGetOverIt(running)) expect(session.state).toBe("ready");
  await newOnesWork();
});

test("while LiveKit is away the API says so, sessions wait and lose no attempt, and then all go on", async () => {
  const running = await startSome();
  await scene.stack.livekit?.kill9();
  const { reason } = await livekitIs("failed");
  expect(reason).toContain("listing rooms");
  expect((await scene.health()).status).toBe("unhealthy");
  expect((await scene.stack.get("/readyz")).status).toBe(200);

  const { status, body } = await scene.ask({ profile: "quick", wait: 0 });
  expect(status, JSON.stringify(body)).toBe(202);
  const waiting = await scene.sessionWhen(body.sessionId, ({ attempt }) => attempt > 1, "was tried again");
  expect(waiting).toMatchObject({ failures: 0 });
  const reasons = waiting.history.flatMap(({ reason }: { reason?: string }) => reason ?? []);
  expect(reasons).toContainEqual(
    expect.stringMatching(/^creating the room failed after \d+ ms: creating room session-/),
  );

  // Their agents try for a while to get back into their rooms, and then give up.
  for (const { sessionId } of running)
    await scene.sessionWhen(sessionId, ({ attempt }) => attempt > 1, "has lost its agent");
  await scene.stack.livekit?.restart();
  await livekitIs("running");
  for (const session of await allGetOverIt([...running, body])) expect(session.state).toBe("ready");
  await newOnesWork();
});
