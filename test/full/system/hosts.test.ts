// What two hosts do together: they share the pool, and one goes on with what the other can't.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import { processIdentity } from "../../../cli/supervisor/processes.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { type Visitor, visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
let visitor: Visitor | undefined;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick", "hot", "alone"],
    hosts: 2,
    env: { GREENROOM_DRAIN_TIMEOUT_MS: "60000" },
  });
});
/** Some tests end a host, so each begins by looking whether there are two. */
beforeEach(async () => {
  for (let n = living().length; n < 2; n++) await scene.stack.spawnService("agent-host");
  await until(async () => (await scene.hosts()).length === 2, {
    timeoutMs: PATIENCE_MS,
    what: "two hosts are registered",
  });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("alone", { idle: 2 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(async () => {
  await visitor?.leave();
  visitor = undefined;
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

const living = () =>
  scene.stack.children.filter(({ service, hasEnded }) => service === "agent-host" && !hasEnded);

const processOf = (hostId: string) => scene.stack.child(hostId.replace("host-", "agent-host-"));

/** Starts a session, and answers when it is ready in its second attempt, on whichever host. */
const secondAttempt = (id: string) =>
  scene.sessionWhen(
    id,
    ({ state, attempt }) => state === "ready" && attempt === 2,
    "is ready in its second attempt",
  );

const identitiesIn = async (room: string) =>
  (await scene.rooms.participants(room)).map(({ identity }) => identity).sort();

test("hosts share a pool's total, also a new one, and a resize reaches all of them", async () => {
  const idle = async (): Promise<number[]> =>
    (await scene.hosts()).map(({ profiles }) => profiles.quick.warm + profiles.quick.hot).sort();
  const shared = (...wanted: number[]) => {
    let seen: number[] = [];
    return until(
      async () => {
        seen = await idle();
        return JSON.stringify(seen) === JSON.stringify(wanted);
      },
      { timeoutMs: PATIENCE_MS, what: () => `the hosts have ${wanted} idle agents; they have ${seen}` },
    );
  };
  await shared(1, 2);
  await scene.stack.post("/api/pool/resize", { profile: "quick", size: 8 });
  await shared(4, 4);
  const third = await scene.stack.spawnService("agent-host");
  await shared(2, 3, 3);
  third.signal("SIGTERM");
  await shared(4, 4);
  await scene.stack.post("/api/pool/resize", { profile: "quick", size: 3 });
  await shared(1, 2);
  const [pool] = (await scene.stack.get("/api/pools")).body.pools.filter(
    ({ profile }: { profile: string }) => profile === "quick",
  );
  expect(pool).toMatchObject({ hosts: 2, target: { min: 3, max: 50 } });
});

test("continues the session of a killed agent process in the same room, where its user stays", async () => {
  const answer = await scene.start({ profile: "alone" });
  const joined = await visit(answer);
  visitor = joined;
  await until(() => joined.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent" });
  const pid = (await scene.slotOf(answer.sessionId))?.agentProcess.pid;
  process.kill(pid, "SIGKILL");
  const session = await secondAttempt(answer.sessionId);
  expect(session).toMatchObject({ room: answer.room, recovering: false, failures: 1, prewarmed: true });
  expect(lifeOf(session)).toEqual(expect.arrayContaining(["ready 1", "requested 2", "ready 2"]));
  expect(session.history.find((step: Json) => step.attempt === 2).reason).toContain("SIGKILL");
  await until(() => joined.said.some(({ message }) => message.attempt === 2), {
    timeoutMs: PATIENCE_MS,
    what: "the visitor is told that the second agent is ready",
  });
  expect(joined.isOut()).toBe(false);
  await until(
    async () =>
      JSON.stringify(await identitiesIn(answer.room)) ===
      JSON.stringify([`agent-${answer.sessionId}-2`, answer.identity].sort()),
    { timeoutMs: PATIENCE_MS, what: "only the second agent and the visitor are in the room" },
  );
});

test("a killed host's sessions go on at the other host, in the same rooms", async () => {
  const answers = await Promise.all(
    ["quick", "quick", "quick", "quick", "hot"].map((profile) => scene.start({ profile })),
  );
  const before = await Promise.all(answers.map(({ sessionId }) => scene.session(sessionId)));
  const lost = before[0]!.host;
  expect(new Set(before.map(({ host }) => host)).size).toBe(2);
  processOf(lost).signal("SIGKILL");
  for (const session of before) {
    if (session.host !== lost) continue;
    const after = await secondAttempt(session.sessionId);
    expect(after).toMatchObject({ room: session.room, failures: 1 });
    expect(after.host).not.toBe(lost);
    expect(after.history.find((step: Json) => step.attempt === 2).reason).toContain(lost);
    expect(await scene.job(session.sessionId, 2)).toMatchObject({ resumed: true });
  }
  for (const { sessionId, host } of before) {
    if (host !== lost) expect(await scene.session(sessionId)).toMatchObject({ state: "ready", attempt: 1 });
  }
  // Its sessions go on at once; that it is gone for good is said after two seconds.
  await until(async () => (await scene.hosts()).every(({ hostId }) => hostId !== lost), {
    timeoutMs: PATIENCE_MS,
    what: `${lost} is no host any more`,
  });
});

test("a host that dies with all its stages, as a machine does, loses no session", async () => {
  const answer = await scene.start({ profile: "quick" });
  const { host } = await scene.session(answer.sessionId);
  await processOf(host).kill9();
  // LiveKit itself takes a while to notice that such an agent is gone, and until then nothing is decided.
  const after = await secondAttempt(answer.sessionId);
  expect(after).toMatchObject({ room: answer.room, failures: 1 });
  expect(after.host).not.toBe(host);
  expect(await identitiesIn(answer.room)).toEqual([`agent-${answer.sessionId}-2`]);
});

test("while a host hangs its calls go on and others serve; when it and its stages hang, the other takes over", async () => {
  const answer = await scene.start({ profile: "quick" });
  const { host } = await scene.session(answer.sessionId);
  const hung = processOf(host);
  hung.signal("SIGSTOP");
  try {
    const next = await scene.start({ profile: "quick" });
    expect((await scene.session(next.sessionId)).host).not.toBe(host);
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1, host });
    killGroup(hung.pid, "SIGSTOP");
    const after = await secondAttempt(answer.sessionId);
    expect(after).toMatchObject({ room: answer.room });
    expect(after.host).not.toBe(host);
    expect(after.history.find((step: Json) => step.attempt === 2).reason).toMatch(/hangs|gone/);
  } finally {
    killGroup(hung.pid, "SIGCONT");
  }
  // Awake again it finds that the session goes on elsewhere, and that it is still welcome.
  await until(async () => (await scene.hosts()).some(({ hostId }) => hostId === host), {
    timeoutMs: PATIENCE_MS,
    what: "the host is registered again",
  });
  await until(async () => (await identitiesIn(answer.room)).join() === `agent-${answer.sessionId}-2`, {
    timeoutMs: PATIENCE_MS,
    what: "only the second agent is in the room",
  });
  expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 2 });
  expect(processIdentity(hung.pid)).toBeDefined();
});

test("a host that is told to stop takes nothing new, lets its sessions finish, and leaves", async () => {
  const answer = await scene.start({ profile: "quick" });
  const { host } = await scene.session(answer.sessionId);
  const draining = processOf(host);
  draining.signal("SIGTERM");
  await until(async () => (await scene.hosts()).some(({ hostId, draining }) => hostId === host && draining), {
    timeoutMs: PATIENCE_MS,
    what: "the host says that it drains",
  });
  const others = await Promise.all([1, 2, 3].map(() => scene.start({ profile: "quick" })));
  for (const { sessionId } of others) expect((await scene.session(sessionId)).host).not.toBe(host);
  expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1, host });
  expect(draining.hasEnded).toBe(false);
  await scene.end(answer.sessionId);
  await until(() => draining.hasEnded, { timeoutMs: PATIENCE_MS, what: "the host ends by itself" });
  expect(draining.exitCode).toBe(0);
  expect((await scene.hosts()).map(({ hostId }) => hostId)).not.toContain(host);
});

test("what a host still serves when its drain is over goes on at another", async () => {
  const { child, id, answer } = await servedByAnotherHost({ GREENROOM_DRAIN_TIMEOUT_MS: "500" });
  child.signal("SIGTERM");
  const after = await secondAttempt(answer.sessionId);
  expect(after).toMatchObject({ room: answer.room, failures: 0 });
  expect(after.history.find((step: Json) => step.attempt === 2).reason).toBe(`host ${id} drains`);
  await until(() => child.hasEnded, { timeoutMs: PATIENCE_MS, what: "the host ends by itself" });
  expect(child.exitCode).toBe(0);
});

test("a host that is set to wait keeps what it serves past its drain, and leaves when that is over", async () => {
  const { child, id, answer } = await servedByAnotherHost({
    GREENROOM_DRAIN_TIMEOUT_MS: "500",
    GREENROOM_DRAIN_ON_TIMEOUT: "wait",
  });
  child.signal("SIGTERM");
  await sleep(4000);
  expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1, host: id });
  expect(child.hasEnded).toBe(false);
  await scene.end(answer.sessionId);
  await until(() => child.hasEnded, { timeoutMs: PATIENCE_MS, what: "the host ends by itself" });
  expect(child.exitCode).toBe(0);
});

/** A host of its own settings, and a session that it serves. */
async function servedByAnotherHost(env: Readonly<Record<string, string>>) {
  const child = await scene.stack.spawnService("agent-host", env);
  const id = child.name.replace("agent-host-", "host-");
  await scene.pool("quick", { idle: 3 });
  let answer: Json;
  await until(
    async () => {
      answer = await scene.start({ profile: "quick" });
      return (await scene.session(answer.sessionId)).host === id;
    },
    { timeoutMs: PATIENCE_MS, what: `a session is served by ${id}` },
  );
  return { child, id, answer };
}
