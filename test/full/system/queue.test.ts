// What happens when every agent is busy: a queue with an order and a bound.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { lifeOf, openScene, type Scene } from "../../kit/stack/scene.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["few", "quick"],
    env: { GREENROOM_MAX_QUEUE_LENGTH: "3", GREENROOM_QUEUE_DEADLINE_MS: "60000" },
  });
  await scene.pool("few", { idle: 1 });
  await scene.pool("quick", { idle: 3 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

/** Starts as many as there are agents, then others that wait. Answers with both, oldest first. */
async function fill(waiting: number) {
  const serving = [await scene.start({ profile: "few" }), await scene.start({ profile: "few" })];
  const queued = [];
  for (let n = 1; n <= waiting; n++) {
    const { status, body } = await scene.ask({ profile: "few", wait: 300 });
    expect(status, JSON.stringify(body)).toBe(202);
    expect(body).toMatchObject({
      success: true,
      status: "starting",
      state: "requested",
      queue: { position: n },
    });
    queued.push(body);
  }
  return { serving, queued };
}

test("past the last agent sessions wait in line, and each free agent goes to the one that waited longest", async () => {
  const { serving, queued } = await fill(3);
  for (const [index, session] of serving.entries()) {
    await scene.end(session.sessionId);
    const next = queued[index]!;
    await scene.sessionWhen(next.sessionId, ({ state }) => state === "ready", "is served");
    for (const [place, other] of queued.slice(index + 1).entries()) {
      expect(await scene.session(other.sessionId)).toMatchObject({
        state: "requested",
        queue: { position: place + 1 },
      });
    }
  }
  await scene.end(queued[0]!.sessionId);
  const last = await scene.sessionWhen(queued[2]!.sessionId, ({ state }) => state === "ready", "is served");
  // Waiting is no failure and costs no attempt.
  expect(last).toMatchObject({ failures: 0 });
  expect(lifeOf(last)[0]).toBe("requested 1");
});

test("past the queue's bound a start is refused with 429 and when to try again; other profiles go on", async () => {
  const { serving, queued } = await fill(3);
  const refused = await scene.ask({ profile: "few", wait: 0 });
  expect(refused.status).toBe(429);
  expect(refused.body).toMatchObject({ success: false, error: { code: "at_capacity", retryable: true } });
  expect(refused.body.error.message).toContain('"few"');
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  await scene.start({ profile: "quick" });
  // A place in the line is a place for another.
  await scene.end(queued[0]!.sessionId);
  await scene.sessionWhen(queued[1]!.sessionId, ({ queue }) => queue?.position === 1, "moves up");
  const { status } = await scene.ask({ profile: "few", wait: 0 });
  expect(status).toBe(202);
  expect((await scene.session(serving[0]!.sessionId)).state).toBe("ready");
});

test("a session that waits can be cancelled, and never starts", async () => {
  const { queued } = await fill(1);
  const session = await scene.end(queued[0]!.sessionId);
  expect(session).toMatchObject({ endedReason: "cancelled" });
  expect(lifeOf(session)).toEqual(["requested 1", "ended 1"]);
});
