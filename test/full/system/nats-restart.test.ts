// NATS is killed and comes back: what runs goes on, what starts meanwhile is refused, and all of it recovers.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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

/** Also the test's own connection has to come back before it can look. */
const isBack = () =>
  until(() => scene.bus.isConnected(), { timeoutMs: PATIENCE_MS, what: "the test's connection is back" });

test("running sessions stay, starts are refused while NATS is away, and served when it is back", async () => {
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
  // A host whose connection isn't back yet is passed over, which costs an attempt's number and no failure.
  const next = await scene.start({ profile: "quick" });
  expect(await scene.session(next.sessionId)).toMatchObject({ state: "ready", failures: 0 });
  for (const { sessionId } of [warm, hot])
    expect(await scene.session(sessionId)).toMatchObject({ state: "ready", attempt: 1, failures: 0 });
  expect((await scene.hosts()).map(({ hostId, epoch }) => ({ hostId, epoch }))).toEqual(epochs);
  await scene.pool("quick", { idle: 4 });
  // Views and consumers go on: an end is asked for, handled, seen and cleaned up after.
  expect(await scene.end(hot.sessionId)).toMatchObject({ endedReason: "completed" });
  await visitor.leave();
  expect(await scene.ended(warm.sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
});

test("an agent that is lost while NATS is away is replaced when it is back", async () => {
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

test("after three quick restarts in a row every service still works", async () => {
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
    // A host whose client is back a moment later than the dispatcher's is passed over, which costs no failure.
    expect(session, JSON.stringify(session.history)).toMatchObject({ endedReason: "completed", failures: 0 });
    expect(lifeOf(session)).toEqual(expect.arrayContaining([expect.stringMatching(/^ready /)]));
  }
});
