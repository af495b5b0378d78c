// Two hosts, which share the pool and take over each other's sessions.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import { processIdentity } from "../../../cli/supervisor/processes.ts";
import { isInShare } from "../../../services/dispatcher/choose-host.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { agentsDir } from "../../kit/stack/agents-dir.ts";
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
/** Some tests end a host, so each starts by restoring two. */
beforeEach(async () => {
  for (let n = runningHosts().length; n < 2; n++) await scene.stack.spawnService("agent-host");
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

const runningHosts = () =>
  scene.stack.children.filter(({ service, hasEnded }) => service === "agent-host" && !hasEnded);

const processOf = (hostId: string) => scene.stack.child(hostId.replace("host-", "agent-host-"));

/** Waits until the session is ready in its second attempt, on either host. */
const secondAttempt = (id: string) =>
  scene.sessionWhen(
    id,
    ({ state, attempt }) => state === "ready" && attempt === 2,
    "is ready in its second attempt",
  );

const identitiesIn = async (room: string) =>
  (await scene.rooms.participants(room)).map(({ identity }) => identity).sort();

describe("a pool on several hosts", () => {
  test("sets a host aside on which starts fail, so that later starts lose no attempt there", async () => {
    // Among hosts with the same load, the first by name is chosen.
    const env = { GREENROOM_AGENTS_DIR: agentsDir("broken/quick"), GREENROOM_HOST_ID: "a-broken-host" };
    const broken = await scene.stack.spawnService("agent-host", env);
    await until(
      async () => {
        const host = (await scene.hosts()).find(({ hostId }) => hostId === "a-broken-host");
        return host?.profiles.quick?.warm > 0;
      },
      { timeoutMs: PATIENCE_MS, what: "the broken host has an agent" },
    );
    const start = async () => {
      const { sessionId } = await scene.start({ profile: "quick" });
      const { failures, host } = await scene.session(sessionId);
      expect(host).not.toBe("a-broken-host");
      await scene.end(sessionId);
      return failures;
    };
    const isSetAside = async () => (await scene.health()).services.dispatcher.reason !== undefined;
    let lost = 0;
    for (let count = 0; count < 20 && !(await isSetAside()); count++) lost += await start();
    expect((await scene.health()).services.dispatcher.reason).toMatch(
      /^a-broken-host is set aside for quick: 3 starts failed there .* last: .*this host has no model/,
    );
    expect(lost).toBe(3);
    for (let count = 0; count < 5; count++) expect(await start()).toBe(0);
    await broken.stop(15_000);
  });

  test("gives the canary's share of the sessions to the hosts with its version, and the others to the rest", async () => {
    const canary = await scene.stack.spawnService("agent-host", {
      GREENROOM_HOST_ID: "the-canary",
      GREENROOM_AGENTS_VERSION: "v2",
    });
    const set = (method: "PUT" | "DELETE", body?: object) =>
      fetch(`${scene.stack.urls[0]}/api/pools/quick/canary`, {
        method,
        headers: { "content-type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
      });
    // Set before the host has agents, so that it serves no more than its share from the beginning.
    expect((await set("PUT", { version: "v2", share: 0.5 })).status).toBe(200);
    await until(
      async () => {
        const host = (await scene.hosts()).find(({ hostId }) => hostId === "the-canary");
        return host?.profiles.quick?.version === "v2" && host.profiles.quick.status === "running";
      },
      { timeoutMs: PATIENCE_MS, what: "the canary runs" },
    );
    const start = async () => {
      const { sessionId } = await scene.start({ profile: "quick" });
      const { host, version } = await scene.session(sessionId);
      expect(version === "v2").toBe(host === "the-canary");
      await scene.end(sessionId);
      return { sessionId, isCanary: version === "v2" };
    };
    const seen = new Set<boolean>();
    for (let count = 0; count < 30 && (count < 6 || seen.size < 2); count++) {
      const { sessionId, isCanary } = await start();
      expect(isCanary, sessionId).toBe(isInShare(sessionId, 0.5));
      seen.add(isCanary);
    }
    expect(seen.size).toBe(2);
    for (const share of [0, 1]) {
      await set("PUT", { version: "v2", share });
      // Each dispatcher learns of it a moment later.
      await until(async () => (await start()).isCanary === (share === 1), {
        timeoutMs: PATIENCE_MS,
        what: `a share of ${share} applies`,
      });
      for (let count = 0; count < 3; count++) expect((await start()).isCanary).toBe(share === 1);
    }
    const running = await scene.start({ profile: "quick" });
    expect((await set("DELETE")).status).toBe(200);
    expect((await scene.session(running.sessionId)).version).toBe("v2");
    await scene.end(running.sessionId);
    await canary.stop(15_000);
  });

  test("is shared by all hosts, including a new one, and resized on all of them", async () => {
    const idle = async (): Promise<number[]> =>
      // A new host may not know its profiles yet.
      (await scene.hosts()).map(({ profiles: { quick } }) => (quick?.warm ?? 0) + (quick?.hot ?? 0)).sort();
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
});

describe("a session on two hosts", () => {
  test("continues in the same room after its agent process is killed, and its user stays", async () => {
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
      what: "the visitor receives the ready message of the second agent",
    });
    expect(joined.isOut()).toBe(false);
    await until(
      async () =>
        JSON.stringify(await identitiesIn(answer.room)) ===
        JSON.stringify([`agent-${answer.sessionId}-2`, answer.identity].sort()),
      { timeoutMs: PATIENCE_MS, what: "only the second agent and the visitor are in the room" },
    );
  });

  test("continues at the other host in the same room after its host is killed", async () => {
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
    // Sessions continue at once. The host's registration is deleted two seconds later.
    await until(async () => (await scene.hosts()).every(({ hostId }) => hostId !== lost), {
      timeoutMs: PATIENCE_MS,
      what: `${lost} is not registered any more`,
    });
  });

  test("continues after its host dies with all agent processes, like a machine does", async () => {
    const answer = await scene.start({ profile: "quick" });
    const { host } = await scene.session(answer.sessionId);
    await processOf(host).kill9();
    // LiveKit needs a while to notice that such an agent is gone, and the janitor decides nothing before.
    const after = await secondAttempt(answer.sessionId);
    expect(after).toMatchObject({ room: answer.room, failures: 1 });
    expect(after.host).not.toBe(host);
    await until(async () => (await identitiesIn(answer.room)).join() === `agent-${answer.sessionId}-2`, {
      timeoutMs: PATIENCE_MS,
      what: "only the second agent is in the room",
    });
  });

  test("stays on a hanging host, and moves to the other host when the agent processes hang too", async () => {
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
    // After it wakes, the host learns that the session moved, and registers again.
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
});

describe("a stopping host", () => {
  test("accepts no new sessions, lets its sessions finish, and exits", async () => {
    const answer = await scene.start({ profile: "quick" });
    const { host } = await scene.session(answer.sessionId);
    const draining = processOf(host);
    draining.signal("SIGTERM");
    await until(
      async () => (await scene.hosts()).some(({ hostId, draining }) => hostId === host && draining),
      {
        timeoutMs: PATIENCE_MS,
        what: "the host drains",
      },
    );
    const others = await Promise.all([1, 2, 3].map(() => scene.start({ profile: "quick" })));
    for (const { sessionId } of others) expect((await scene.session(sessionId)).host).not.toBe(host);
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1, host });
    expect(draining.hasEnded).toBe(false);
    await scene.end(answer.sessionId);
    await until(() => draining.hasEnded, { timeoutMs: PATIENCE_MS, what: "the host exits" });
    expect(draining.exitCode).toBe(0);
    await until(async () => (await scene.hosts()).every(({ hostId }) => hostId !== host), {
      timeoutMs: PATIENCE_MS,
      what: "the host is not registered any more",
    });
  });

  test("migrates its sessions to another host when the drain times out", async () => {
    const { child, id, answer } = await servedByAnotherHost({ GREENROOM_DRAIN_TIMEOUT_MS: "500" });
    child.signal("SIGTERM");
    const after = await secondAttempt(answer.sessionId);
    expect(after).toMatchObject({ room: answer.room, failures: 0 });
    expect(after.history.find((step: Json) => step.attempt === 2).reason).toBe(`host ${id} drains`);
    await until(() => child.hasEnded, { timeoutMs: PATIENCE_MS, what: "the host exits" });
    expect(child.exitCode).toBe(0);
  });

  test("keeps its sessions past the drain timeout when it is set to wait, and exits after them", async () => {
    const { child, id, answer } = await servedByAnotherHost({
      GREENROOM_DRAIN_TIMEOUT_MS: "500",
      GREENROOM_DRAIN_ON_TIMEOUT: "wait",
    });
    child.signal("SIGTERM");
    await sleep(4000);
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1, host: id });
    expect(child.hasEnded).toBe(false);
    await scene.end(answer.sessionId);
    await until(() => child.hasEnded, { timeoutMs: PATIENCE_MS, what: "the host exits" });
    expect(child.exitCode).toBe(0);
  });
});

/** Starts a host with its own settings, and a session that it serves. */
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
