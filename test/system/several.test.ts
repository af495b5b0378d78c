// Two processes of every service, which share the work and agree, and of which one may die.
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import type { Json } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick", "hot", "few", "troubled"],
    gateways: 2,
    dispatchers: 2,
    janitors: 2,
    hosts: 2,
    env: {
      GREENROOM_READY_DEADLINE_MS: "10000",
      GREENROOM_QUEUE_DEADLINE_MS: "15000",
    },
  });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("hot", { idle: 2, hot: 2 });
  await scene.pool("few", { idle: 1 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

/** Starts a session at one of the gateways. */
async function askAt(
  gateway: number,
  body: object,
  key?: string,
): Promise<{ status: number; body: Json; headers: Headers }> {
  const response = await fetch(`${scene.stack.urls[gateway]}/api/session/start`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key === undefined ? {} : { "idempotency-key": key }) },
    body: JSON.stringify({ wait: 30_000, ...body }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

const at = async (gateway: number, path: string): Promise<Json> =>
  await (await fetch(`${scene.stack.urls[gateway]}${path}`)).json();

/** A gateway hears a moment later of a session that became ready for a client of the other one. */
const readyAtFirst = (id: string): Promise<Json> =>
  scene.sessionWhen(id, ({ state }) => state === "ready", "is ready at the first gateway");

describe("a stack with two processes of each service", () => {
  test("shows both in health", async () => {
    await until(
      async () => {
        const { services } = await scene.health();
        return ["gateway", "dispatcher", "agent-host", "janitor"].every(
          (name) => services[name].instances === 2,
        );
      },
      { timeoutMs: PATIENCE_MS, what: "health counts two of each service" },
    );
  });

  test("starts one session for a key that races over both gateways, and refuses another request with the key", async () => {
    for (let round = 0; round < 5; round++) {
      const key = randomUUID();
      const body = { profile: "quick", metadata: { round } };
      const answers = await Promise.all([0, 1, 0, 1].map((gateway) => askAt(gateway, body, key)));
      for (const answer of answers) {
        expect(answer.status, JSON.stringify(answer.body)).toBe(200);
        expect(answer.body).toMatchObject({
          sessionId: answers[0]!.body.sessionId,
          room: answers[0]!.body.room,
        });
      }
      const replayed = answers.filter(({ headers }) => headers.get("idempotent-replayed") === "true");
      expect(replayed).toHaveLength(3);
      const other = await askAt(1, { profile: "quick", metadata: { round: -1 } }, key);
      expect(other).toMatchObject({ status: 409, body: { error: { code: "idempotency_conflict" } } });
      expect((await scene.session(answers[0]!.body.sessionId)).attempt).toBe(1);
    }
    const { sessions } = await at(1, "/api/sessions?state=ready&profile=quick");
    expect(sessions).toHaveLength(5);
  });

  test("serves twenty starts over both gateways and hosts, and lists all at each gateway", async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => askAt(n % 2, { profile: n % 5 === 0 ? "hot" : "quick" })),
    );
    for (const { status, body } of answers)
      expect([status, body.status], JSON.stringify(body)).toEqual([200, "ready"]);
    const ids = answers.map(({ body }) => body.sessionId).sort();
    for (const gateway of [0, 1]) {
      // A session of the other gateway is listed a moment later.
      const listed = async () => (await at(gateway, "/api/sessions?state=ready&limit=100")).sessions;
      await until(async () => (await listed()).length === ids.length, {
        timeoutMs: PATIENCE_MS,
        what: `gateway ${gateway} lists all sessions`,
      });
      const seen: string[] = [];
      let cursor = "";
      do {
        const page = await at(gateway, `/api/sessions?state=ready&limit=7${cursor}`);
        seen.push(...page.sessions.map(({ sessionId }: Json) => sessionId));
        cursor = page.nextCursor === null ? "" : `&cursor=${encodeURIComponent(page.nextCursor)}`;
      } while (cursor !== "");
      expect(seen.sort()).toEqual(ids);
    }
    const hosts = await Promise.all(ids.map(async (id) => (await scene.session(id)).host));
    expect(new Set(hosts)).toEqual(new Set(["host-1", "host-2"]));
  });

  test("counts a missed deadline once, although two janitors report it", async () => {
    const { body } = await askAt(0, {
      profile: "troubled",
      wait: 0,
      metadata: { fault: "never ready", attempts: 1 },
    });
    const session = await scene.sessionWhen(
      body.sessionId,
      ({ state }) => state === "ready",
      "becomes ready",
    );
    expect(session).toMatchObject({ attempt: 2, failures: 1 });
    const serving = await Promise.all([1, 2].map(() => askAt(0, { profile: "few" })));
    const waits = await askAt(1, { profile: "few", wait: 0 });
    const expired = await scene.ended(waits.body.sessionId);
    expect(expired).toMatchObject({ endedReason: "no_capacity", fault: "platform" });
    expect(expired.history.at(-1).reason).toMatch(
      /no agent of few was free for \d+\.\d s \(limit 15000 ms\)/,
    );
    expect(lifeOf(expired).filter((step) => step.startsWith("ended"))).toHaveLength(1);
    for (const { body } of serving) expect((await scene.session(body.sessionId)).state).toBe("ready");
  });

  test("serves every start of a burst in which a dispatcher is killed", async () => {
    const burst = Array.from({ length: 12 }, (_, n) => askAt(n % 2, { profile: "quick" }));
    await scene.stack.child("dispatcher-1").kill9();
    for (const { status, body } of await Promise.all(burst)) {
      expect(status, JSON.stringify(body)).toBe(200);
      expect(await readyAtFirst(body.sessionId)).toMatchObject({ failures: 0 });
    }
  });

  test("serves and ends sessions after a gateway and a janitor are killed", async () => {
    const { body } = await askAt(1, { profile: "quick", wait: 30_000 });
    await Promise.all([scene.stack.child("gateway-2").kill9(), scene.stack.child("janitor-1").kill9()]);
    await readyAtFirst(body.sessionId);
    expect((await scene.end(body.sessionId)).endedReason).toBe("completed");
    await until(async () => (await scene.health()).services.gateway.instances === 1, {
      timeoutMs: PATIENCE_MS,
      what: "health counts one gateway",
    });
    expect((await scene.health()).status).toBe("healthy");
  });
});
