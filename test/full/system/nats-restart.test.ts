// NATS is killed and restarted: running sessions continue, starts are refused until then, and everything recovers.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { type Visitor, visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
let visitor: Visitor | undefined;
beforeAll(async () => {
  scene = await openScene({ agents: ["quick", "hot"], hosts: 2 });
});
afterEach(async () => {
  await visitor?.leave();
  visitor = undefined;
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

const isReady = (status: number) =>
  until(async () => (await scene.stack.get("/readyz")).status === status, {
    timeoutMs: PATIENCE_MS,
    what: `readyz answers ${status}`,
  });

/** The test's own connection must reconnect too. */
const isBack = () =>
  until(() => scene.bus.isConnected(), { timeoutMs: PATIENCE_MS, what: "the test's connection is back" });

describe("an outage of NATS", () => {
  test("leaves running sessions alone, and refuses starts until NATS is back", async () => {
    await scene.pool("quick", { idle: 3 });
    await scene.pool("hot", { idle: 2, hot: 2 });
    await scene.stack.post("/api/pool/resize", { profile: "quick", size: 4 });
    await scene.pool("quick", { idle: 4 });
    const warm = await scene.start({ profile: "quick" });
    const hot = await scene.start({ profile: "hot" });
    const joined = await visit(warm);
    visitor = joined;
    await until(() => joined.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent" });
    const epochs = (await scene.hosts()).map(({ hostId, epoch }) => ({ hostId, epoch }));

    await scene.stack.nats.kill9();
    await isReady(503);
    const refused = await scene.ask({ profile: "quick", wait: 0 });
    expect(refused.status).toBe(503);
    expect(refused.body.error).toMatchObject({ code: "storage_unavailable", retryable: true });
    expect((await scene.health()).services.nats).toMatchObject({ status: "failed" });
    expect((await scene.health()).status).toBe("unhealthy");
    expect(joined.isOut()).toBe(false);

    await scene.stack.nats.restart();
    await isReady(200);
    await isBack();
    // The dispatcher skips a host that hasn't reconnected yet, which costs an attempt but no failure.
    const next = await scene.start({ profile: "quick" });
    expect(await scene.session(next.sessionId)).toMatchObject({ state: "ready", failures: 0 });
    for (const { sessionId } of [warm, hot])
      expect(await scene.session(sessionId)).toMatchObject({ state: "ready", attempt: 1, failures: 0 });
    expect((await scene.hosts()).map(({ hostId, epoch }) => ({ hostId, epoch }))).toEqual(epochs);
    await scene.pool("quick", { idle: 4 });
    // Views and consumers work again: an end is requested, handled, observed and cleaned up.
    expect(await scene.end(hot.sessionId)).toMatchObject({ endedReason: "completed" });
    await visitor.leave();
    expect(await scene.ended(warm.sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
  });

  test("delays the replacement of a lost agent until NATS is back", async () => {
    const answer = await scene.start({ profile: "quick" });
    const pid = (await scene.slotOf(answer.sessionId))?.agentProcess.pid;
    await scene.stack.nats.kill9();
    process.kill(pid, "SIGKILL");
    await isReady(503);
    await scene.stack.nats.restart();
    await isReady(200);
    await isBack();
    const session = await scene.sessionWhen(
      answer.sessionId,
      ({ state, attempt }) => state === "ready" && attempt === 2,
      "is ready again",
    );
    expect(session).toMatchObject({ room: answer.room, failures: 1 });
  });

  test("is survived by every service three times in a row", async () => {
    for (let round = 0; round < 3; round++) {
      await scene.stack.nats.kill9();
      await scene.stack.nats.restart();
    }
    await isReady(200);
    await isBack();
    for (const child of scene.stack.children) expect(child.hasEnded, child.name).toBe(false);
    const answers = await Promise.all(Array.from({ length: 6 }, () => scene.start({ profile: "quick" })));
    for (const { sessionId } of answers) {
      const session = await scene.end(sessionId);
      // The dispatcher skips a host that reconnects a moment later, which costs no failure.
      expect(session, JSON.stringify(session.history)).toMatchObject({
        endedReason: "completed",
        failures: 0,
      });
      expect(lifeOf(session)).toEqual(expect.arrayContaining([expect.stringMatching(/^ready /)]));
    }
  });
});
