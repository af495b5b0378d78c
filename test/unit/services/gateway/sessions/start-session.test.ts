// Starts of sessions over HTTP.

import { afterEach, describe, expect, it } from "vitest";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { hosts } from "../../../../../libs/contracts/buckets.ts";
import { until } from "../../../../kit/until.ts";
import {
  aHost,
  becomeReady,
  loseAgent,
  type Rig,
  type RigOptions,
  startRig,
} from "../../../../kit/worlds/gateway-world.ts";

const START = "/api/session/start";
let rig: Rig;
const start = async (options?: RigOptions) => {
  rig = await startRig(options);
  return rig;
};
afterEach(() => rig.stop());

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

describe("POST /api/session/start, ready in time", () => {
  it("answers 200 with a token for the agent's room", async () => {
    await start();
    const { status, body } = await rig.post(START, { userId: "user_123", userName: "Alice" });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      success: true,
      status: "ready",
      profile: "echo",
      prewarmed: true,
      warm: "hot",
      attempt: 1,
      identity: "user_123",
      room: `standby-${body.sessionId}`,
      url: "ws://simulated.invalid",
    });
    expect(body.sessionId).toMatch(/^s_[0-9A-Za-z]{22}$/);
    expect(body.latencyMs).toBeGreaterThan(0);
    expect(body.startupTimings).toMatchObject({ phase: "ready", joinMs: 3, entryMs: expect.any(Number) });
    const claims = claimsOf(body.token);
    expect(claims).toMatchObject({ sub: "user_123", name: "Alice" });
    expect(claims.video).toEqual({
      room: body.room,
      roomJoin: true,
      canPublish: true,
      canSubscribe: true,
      canPublishData: true,
      canUpdateOwnMetadata: true,
    });
    expect(claims.exp - claims.nbf).toBe(600);
  });

  it("needs no body, no user and no content type", async () => {
    await start();
    expect((await rig.post(START)).status).toBe(200);
    const withHeader = await rig.app.inject({
      method: "POST",
      url: START,
      headers: { "content-type": "application/json" },
    });
    expect(withHeader.statusCode).toBe(200);
  });

  it("reports that a cold agent was not prewarmed", async () => {
    await start({ play: (record) => becomeReady(record, "cold") });
    const { body } = await rig.post(START, {});
    expect(body).toMatchObject({ status: "ready", prewarmed: false, warm: "cold" });
  });

  it("passes user, metadata and duration on to the session", async () => {
    await start();
    await rig.post(START, { userId: "u", metadata: { topic: ["a", 1, null] }, maxDurationMs: 5000 });
    expect(rig.events()[0]).toMatchObject({
      type: "requested",
      user: { id: "u", name: "u" },
      metadata: { topic: ["a", 1, null] },
      maxDurationMs: 5000,
    });
  });
});

describe("POST /api/session/start, ready later", () => {
  it("answers 202 with an estimate and the queue position, without a token for a room that may change", async () => {
    await start({ play: "wait", hosts: [aHost({ echo: { warm: 0, hot: 0, busy: 50 } })] });
    await rig.post(START, { wait: 0 });
    await until(async () => (await rig.get("/api/sessions")).body.sessions.length === 1, {
      what: "one waits",
    });
    const { status, body } = await rig.post(START, { wait: 50 });
    expect(status).toBe(202);
    expect(body).toMatchObject({
      status: "starting",
      state: "requested",
      prewarmed: false,
      queue: { position: 2, length: 2 },
    });
    expect(body.estimatedWait).toMatch(/^\d+-\d+s$/);
    expect(body.estimatedWaitMs).toBeGreaterThan(0);
    expect(body.startupTimings).toMatchObject({ phase: "queue", queueMs: expect.any(Number) });
    expect(body.startupTimings.totalMs).toBeGreaterThanOrEqual(50);
    expect(body).not.toHaveProperty("token");
  });

  it("answers 202 with a token when the client named the room", async () => {
    await start({ play: "wait" });
    const { status, body } = await rig.post(START, { wait: 0, room: "my room" });
    expect(status).toBe(202);
    expect(claimsOf(body.token).video.room).toBe("my room");
  });

  it("answers as soon as the agent is ready", async () => {
    await start({ play: "wait" });
    const answer = rig.post(START, { wait: 20_000, userId: "u" });
    const requested = await until(() => rig.events()[0], { what: "the request is stored" });
    await rig.move(requested.sessionId, ...becomeReady({ sessionId: requested.sessionId, attempt: 1 }));
    expect(await answer).toMatchObject({ status: 200, body: { status: "ready" } });
  });

  it("waits for the configured time by default, and no longer", async () => {
    await start({ play: "wait", env: { GREENROOM_START_WAIT_MS: "30000" } });
    const answer = rig.post(START, { userId: "u" });
    const requested = await until(() => rig.events()[0], { what: "the request is stored" });
    // Longer than the default wait.
    await new Promise((resolve) => setTimeout(resolve, 800));
    await rig.move(requested.sessionId, ...becomeReady({ sessionId: requested.sessionId, attempt: 1 }));
    expect(await answer).toMatchObject({ status: 200, body: { status: "ready" } });
    await rig.stop();
    await start({ play: "wait", env: { GREENROOM_START_WAIT_MS: "1" } });
    const beganAtMs = performance.now();
    expect(await rig.post(START, {})).toMatchObject({ status: 202, body: { status: "starting" } });
    expect(performance.now() - beganAtMs).toBeLessThan(25_000);
  });

  it("answers at once with the status starting when the gateway stops", async () => {
    await start({ play: "wait" });
    const answer = rig.post(START, { wait: 20_000 });
    await until(() => rig.events()[0], { what: "the request is stored" });
    await rig.app.close();
    expect(await answer).toMatchObject({ status: 202, body: { status: "starting" } });
  });

  it("creates a session that can be polled before a dispatcher has read it, also at another gateway", async () => {
    await start({ play: "ignore" });
    const { body } = await rig.post(START, { wait: 0, userId: "u" });
    const path = `/api/session/${body.sessionId}`;
    expect(await rig.get(path)).toMatchObject({ status: 200, body: { status: "starting", userId: "u" } });
    const other = await rig.another();
    expect((await other.inject(path)).json()).toMatchObject({ status: "starting", userId: "u" });
  });
});

describe("POST /api/session/start, failing", () => {
  it("gives the reason why the session ended before it was ready", async () => {
    await start({
      play: (record) => [
        ...becomeReady(record).slice(0, 2),
        loseAgent(record, "the agent process was killed"),
      ],
    });
    const { status, body } = await rig.post(START, {});
    expect(status).toBe(503);
    expect(body).toMatchObject({ success: false, error: { code: "agent_failed", retryable: true } });
    expect(body.error.message).toContain("the agent process was killed");
    expect(body.error.sessionId).toMatch(/^s_/);
  });

  it("names the known profiles when the profile is unknown", async () => {
    await start({ hosts: [aHost({ echo: {}, tutor: {} })] });
    const { status, body } = await rig.post(START, { profile: "nobody" });
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ code: "unknown_profile", retryable: false });
    expect(body.error.message).toContain("echo, tutor");
    expect(rig.events()).toEqual([]);
  });

  it("gives the reason why a profile is disabled", async () => {
    await start({
      hosts: [aHost({ assistant: { status: "disabled", error: "OPENAI_API_KEY is missing" } })],
    });
    const { status, body } = await rig.post(START, { profile: "assistant" });
    expect(status).toBe(503);
    expect(body.error.code).toBe("profile_unavailable");
    expect(body.error.message).toContain("OPENAI_API_KEY is missing");
  });

  it("answers with Retry-After when no host is up, or all are draining", async () => {
    await start({ hosts: [aHost({ echo: {} }, { draining: true })] });
    const { status, body, headers } = await rig.post(START, {});
    expect(status).toBe(503);
    expect(body.error.code).toBe("no_hosts");
    expect(headers["retry-after"]).toBe("2");
  });

  it("names the missing settings when there is no LiveKit", async () => {
    await start({ livekit: null });
    const { status, body } = await rig.post(START, {});
    expect(status).toBe(503);
    expect(body.error.code).toBe("livekit_unavailable");
    expect(body.error.message).toContain("LIVEKIT_URL");
  });

  it("reports a full store, and stores nothing", async () => {
    await start();
    rig.server.setFaults({ full: true });
    const { status, body } = await rig.post(START, {});
    expect({ status, code: body.error.code }).toEqual({ status: 503, code: "storage_full" });
  });

  it("refuses a room that has a session, naming the session", async () => {
    await start({ play: "wait" });
    const waiting = await rig.post(START, { room: "r2", wait: 50 });
    const refused = await rig.post(START, { room: "r2" });
    expect(refused.status).toBe(409);
    expect(refused.body.error).toMatchObject({ code: "conflict", sessionId: waiting.body.sessionId });
  });
});

describe("POST /api/session/start, queue limit", () => {
  it("answers 429 with Retry-After, publishes nothing, and holds in a burst", async () => {
    await start({
      play: "wait",
      hosts: [aHost({ echo: { warm: 0, hot: 0, busy: 50 } })],
      env: { GREENROOM_MAX_QUEUE_LENGTH: "3" },
    });
    const burst = await Promise.all(Array.from({ length: 10 }, () => rig.post(START, { wait: 0 })));
    expect(burst.map(({ status }) => status).sort()).toEqual([202, 202, 202, ...Array(7).fill(429)]);
    expect(rig.events()).toHaveLength(3);
    const refused = burst.find(({ status }) => status === 429);
    expect(refused?.body.error).toMatchObject({ code: "at_capacity", retryable: true });
    expect(refused?.body.error).not.toHaveProperty("sessionId");
    expect(Number(refused?.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  });

  it("adds free agents to the places in the queue", async () => {
    await start({
      play: "ignore",
      hosts: [aHost({ echo: { warm: 1, hot: 1, busy: 0, max: 4 } })],
      env: { GREENROOM_MAX_QUEUE_LENGTH: "1" },
    });
    const burst = await Promise.all(Array.from({ length: 8 }, () => rig.post(START, { wait: 0 })));
    expect(burst.filter(({ status }) => status === 202)).toHaveLength(5);
  });
});

describe("Idempotency-Key", () => {
  const key = { "idempotency-key": "order-7" };

  it("returns one session to repeats, which are marked as replayed", async () => {
    await start();
    const first = await rig.post(START, { userId: "u", metadata: { a: 1, b: 2 } }, key);
    const second = await rig.post(START, { metadata: { b: 2, a: 1 }, userId: "u", wait: 0 }, key);
    expect(second.body.sessionId).toBe(first.body.sessionId);
    expect(first.headers["idempotent-replayed"]).toBeUndefined();
    expect(second.headers["idempotent-replayed"]).toBe("true");
    expect(rig.events()).toHaveLength(1);
  });

  it("returns one session to requests that race at two gateways", async () => {
    await start();
    const other = await rig.another();
    const request = { method: "POST", url: START, headers: key, payload: { userId: "u" } } as const;
    const answers = await Promise.all([rig.app, other, rig.app, other].map((app) => app.inject(request)));
    expect(new Set(answers.map((answer) => answer.json().sessionId)).size).toBe(1);
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200]);
    expect(rig.events()).toHaveLength(1);
  });

  it("refuses a different request with the same key, also in a race", async () => {
    await start();
    const race = await Promise.all([
      rig.post(START, { userId: "u" }, key),
      rig.post(START, { userId: "v" }, key),
    ]);
    expect(race.map(({ status }) => status).sort()).toEqual([200, 409]);
    const later = await rig.post(START, { userId: "w" }, key);
    expect(later.body.error.code).toBe("idempotency_conflict");
  });

  it("refuses a different request with the same key in a race of two gateways", async () => {
    await start({ play: "ignore" });
    const other = await rig.another();
    const request = (userId: string) =>
      ({ method: "POST", url: START, headers: key, payload: { userId, wait: 0 } }) as const;
    const race = await Promise.all([rig.app.inject(request("u")), other.inject(request("v"))]);
    expect(race.map(({ statusCode }) => statusCode).sort()).toEqual([202, 409]);
    expect(rig.events()).toHaveLength(1);
  });

  it("never answers that an accepted session does not exist, however stale the store is", async () => {
    await start({ play: "wait" });
    const first = await rig.post(START, { wait: 0 }, key);
    let reads = 0;
    const forgetful = await rig.another((bus) => {
      return overrideBus(bus, {
        kv: {
          watch: async () => async () => {},
          get: async (bucket, key) => (reads++ === 0 ? await bus.kv.get(bucket, key) : undefined),
        },
        streams: { read: async () => [] },
      });
    });
    const request = { method: "POST", url: START, headers: key, payload: { wait: 0 } } as const;
    const again = await forgetful.inject(request);
    expect([again.statusCode, again.json().sessionId]).toEqual([202, first.body.sessionId]);
    expect(reads).toBeGreaterThan(1);
  });

  it("answers a repeat even when every host is gone and the queue is full", async () => {
    await start();
    const first = await rig.post(START, {}, key);
    const entry = await rig.bus.kv.get(hosts, "host-1");
    await rig.bus.kv.delete(hosts, "host-1", entry?.revision ?? 0);
    await until(async () => (await rig.get("/api/hosts")).body.hosts.length === 0, {
      what: "the host is gone",
    });
    expect((await rig.post(START, {})).body.error.code).toBe("no_hosts");
    expect((await rig.post(START, {}, key)).body.sessionId).toBe(first.body.sessionId);
  });
});
