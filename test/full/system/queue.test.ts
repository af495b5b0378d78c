// The wait queue when every agent is busy: its order and its limit.
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

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

/** Starts a session for each agent, then others that wait. Returns both, oldest first. */
async function fill(waiting: number) {
  const serving = [await scene.start({ profile: "few" }), await scene.start({ profile: "few" })];
  const queued = [];
  for (let n = 1; n <= waiting; n++) {
    const key = { "idempotency-key": randomUUID() };
    const ask = () => scene.ask({ profile: "few", wait: 300 }, key);
    // The session has its place when the gateway has seen its record.
    const { status, body } = await until(
      async () => {
        const answer = await ask();
        return answer.body.queue?.position === n || answer.status !== 202 ? answer : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: `the session has the place ${n} in the queue` },
    );
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

describe("the wait queue", () => {
  test("gives each free agent to the session that has waited longest", async () => {
    const { serving, queued } = await fill(3);
    for (const [index, session] of serving.entries()) {
      await scene.end(session.sessionId);
      const next = queued[index]!;
      await scene.sessionWhen(next.sessionId, ({ state }) => state === "ready", "is served");
      for (const [ahead, other] of queued.slice(index + 1).entries()) {
        expect(await scene.session(other.sessionId)).toMatchObject({
          state: "requested",
          queue: { position: ahead + 1 },
        });
      }
    }
    await scene.end(queued[0]!.sessionId);
    const last = await scene.sessionWhen(queued[2]!.sessionId, ({ state }) => state === "ready", "is served");
    // Waiting costs no attempt and counts as no failure.
    expect(last).toMatchObject({ failures: 0 });
    expect(lifeOf(last)[0]).toBe("requested 1");
  });

  test("refuses a start beyond its limit with 429 and Retry-After, while other profiles are served", async () => {
    const { serving, queued } = await fill(3);
    const refused = await scene.ask({ profile: "few", wait: 0 });
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ success: false, error: { code: "at_capacity", retryable: true } });
    expect(refused.body.error.message).toContain('"few"');
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    await scene.start({ profile: "quick" });
    // A session that leaves the queue makes room for another.
    await scene.end(queued[0]!.sessionId);
    await scene.sessionWhen(queued[1]!.sessionId, ({ queue }) => queue?.position === 1, "moves up");
    const { status } = await scene.ask({ profile: "few", wait: 0 });
    expect(status).toBe(202);
    expect((await scene.session(serving[0]!.sessionId)).state).toBe("ready");
  });

  test("drops a cancelled session, which never starts", async () => {
    const { queued } = await fill(1);
    const session = await scene.end(queued[0]!.sessionId);
    expect(session).toMatchObject({ endedReason: "cancelled" });
    expect(lifeOf(session)).toEqual(["requested 1", "ended 1"]);
  });
});
