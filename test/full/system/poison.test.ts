// Invalid messages on every subject and bucket under live sessions: nothing stops, and each message is accounted for.
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { connect, type JetStreamClient, type NatsConnection } from "nats";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import { anyPayload, nonsense } from "../../kit/fixtures/poison.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
let nats: NatsConnection;
let js: JetStreamClient;
let pids: number[];
beforeAll(async () => {
  scene = await openScene({ agents: ["quick"], mock: true });
  nats = await connect({ servers: scene.stack.natsUrl });
  js = nats.jetstream();
  await scene.pool("quick", { idle: 3 });
  pids = scene.stack.children.map(({ pid }) => pid);
});
afterEach(async () => {
  // No process was lost or restarted.
  expect(scene.stack.children.filter(({ hasEnded }) => hasEnded).map(({ name }) => name)).toEqual([]);
  expect(scene.stack.children.map(({ pid }) => pid)).toEqual(pids);
  await nothingIsStuck();
});
afterAll(async () => {
  await nats?.close();
  await scene?.stop();
});

const json = (value: unknown) => JSON.stringify(value);

/** Waits until the dispatcher's consumer has no pending or unacknowledged message. */
const nothingIsStuck = () =>
  until(
    async () => {
      const { num_pending, num_ack_pending } = await (await nats.jetstreamManager()).consumers.info(
        "SESSIONS",
        "dispatcher",
      );
      return num_pending === 0 && num_ack_pending === 0;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 100, what: "the dispatcher has acknowledged every message" },
  );

/** The dead letters about one session, newest first. */
const lettersAbout = async (sessionId: string) =>
  (await scene.bus.streams.read(deadLetters, { limit: 5000, order: "newest-first" }))
    .map(({ message }) => message)
    .filter(({ subject }) => subject.split(".")[2] === sessionId);

/** Starts and ends a session, which needs all four services. */
async function startAndEnd(): Promise<void> {
  const { sessionId } = await scene.start({ profile: "quick" });
  expect(await scene.end(sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
}

describe("an invalid message", () => {
  test("becomes one dead letter with a reason, while other sessions are served", async () => {
    const running = await scene.start({ profile: "quick" });
    const target = `s_${randomUUID()}`;
    for (const id of [target, running.sessionId]) {
      for (const data of Object.values(nonsense)) await js.publish(`session.default.${id}.ready`, data);
    }
    await startAndEnd();
    for (const id of [target, running.sessionId]) {
      const letters = await until(
        async () => {
          const found = await lettersAbout(id);
          return found.length >= Object.keys(nonsense).length ? found : undefined;
        },
        { timeoutMs: PATIENCE_MS, what: "every message is a dead letter" },
      );
      expect(letters).toHaveLength(Object.keys(nonsense).length);
      for (const letter of letters) {
        expect(letter).toMatchObject({ deliveries: 1, stream: "SESSIONS" });
        expect(letter.reason.length).toBeGreaterThan(10);
      }
    }
    expect(await scene.session(running.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    const { body } = await scene.stack.get("/api/dead-letters?limit=5");
    expect(body.deadLetters[0]).toMatchObject({ subject: expect.stringMatching(/^session\.default\./) });
    await scene.end(running.sessionId);
  });

  test("breaks no connection with a subject that is nearly too long or contains wildcards", async () => {
    const long = "x".repeat(4030);
    nats.publish(`session.default.${long}.ready`, "{");
    for (const id of ["*", ">"]) nats.publish(`session.default.${id}.ready`, "{");
    await nats.flush();
    await startAndEnd();
    await nothingIsStuck();
    const [letter] = await until(
      async () => {
        const found = await lettersAbout(long);
        return found.length > 0 ? found : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: "the message is a dead letter" },
    );
    expect(letter).toMatchObject({ deliveries: 1, payload: "{" });
    const lost = scene.stack.children.flatMap((child) =>
      child.logs().filter(({ msg }) => msg?.includes("NATS is")),
    );
    expect(lost).toEqual([]);
  });

  test("changes nothing as an event of another session, an old attempt or a stale epoch", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    const [before] = (await scene.revisions(sessionId)).slice(-1);
    const by = {
      tenant: "default",
      sessionId,
      at: new Date().toISOString(),
      host: before!.host,
      epoch: before!.hostEpoch,
      attempt: 1,
    };
    const where = { room: "forged", identity: "forged", warm: "hot", tookMs: 1 };
    const publish = (subject: string, body: object) => js.publish(subject, json(body));
    const mine = `session.default.${sessionId}`;
    // Bodies that don't match their subject become dead letters.
    await publish(`${mine}.agent_lost`, { ...by, type: "agent_lost", tenant: "other", reason: "forged" });
    await publish(`${mine}.agent_lost`, {
      ...by,
      type: "agent_lost",
      sessionId: "s_other",
      reason: "forged",
    });
    await publish(`session.other.${sessionId}.agent_lost`, { ...by, type: "agent_lost", reason: "forged" });
    await publish(`${mine}.ready`, { ...by, type: "agent_lost", reason: "forged" });
    // Valid but stale events are acknowledged without effect.
    await publish(`${mine}.agent_ended`, {
      ...by,
      type: "agent_ended",
      epoch: before!.hostEpoch! - 1,
      reason: "forged",
      retryable: true,
    });
    await publish(`${mine}.ready`, { ...by, ...where, type: "ready", host: "host-9" });
    await publish(`${mine}.joined`, { ...by, ...where, type: "joined", attempt: 7 });
    await publish(`${mine}.retry_requested`, { ...by, type: "retry_requested", attempt: 9 });
    await nothingIsStuck();
    expect((await scene.revisions(sessionId)).at(-1)).toEqual(before);
    expect(await lettersAbout(sessionId)).toHaveLength(4);
    expect(await scene.end(sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
  });

  test("fails alone and at once when it doesn't fit into a record", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    const [before] = (await scene.revisions(sessionId)).slice(-1);
    await js.publish(
      `session.default.${sessionId}.agent_ended`,
      json({
        type: "agent_ended",
        tenant: "default",
        sessionId,
        attempt: 1,
        host: before!.host,
        epoch: before!.hostEpoch,
        at: `2026-01-01T00:00:00.000Z${"x".repeat(100_000)}`,
        reason: "y".repeat(100_000),
        retryable: false,
      }),
    );
    const [letter] = await until(
      async () => {
        const found = await lettersAbout(sessionId);
        return found.length > 0 ? found : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: "the message is a dead letter" },
    );
    expect(letter).toMatchObject({ deliveries: 1, reason: expect.stringContaining("would have") });
    await startAndEnd();
    expect(await scene.end(sessionId)).toMatchObject({ endedReason: "completed" });
  });

  test("is ignored on subjects of announcements and commands", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    const subjects = [
      "hosts.changed",
      "services.heartbeat",
      "rooms.event",
      ...["assign", "release", "ping", "drain"].map((command) => `host.host-1.${command}`),
    ];
    for (const subject of subjects) {
      for (const data of Object.values(nonsense)) nats.publish(subject, data);
      // An unreadable request is answered with an error at once.
      for (const data of [nonsense.binary, nonsense["deep nesting"]]) {
        if (/assign|release/.test(subject)) {
          const answer = await nats.request(subject, data, { timeout: 10_000 });
          expect(answer.headers?.get("Greenroom-Error"), subject).toMatch(/is not JSON|nested deeper/);
        }
      }
    }
    const wrongEpoch = {
      ...{
        tenant: "default",
        sessionId,
        attempt: 2,
        epoch: 999_999,
        profile: "quick",
        requestedWarmth: "warm",
      },
      ...{ room: "forged", identity: "agent-forged", user: { id: "u", name: "u" }, metadata: {} },
      recovering: false,
    };
    const answer = await nats.request("host.host-1.assign", json(wrongEpoch), { timeout: 10_000 });
    expect(answer.json()).toMatchObject({ verdict: "stale" });
    await startAndEnd();
    expect((await scene.health()).status).toBe("healthy");
    expect(await scene.end(sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
  });

  test("hides nothing else in a bucket, and is overwritten by the owner of its key", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    const small = Object.entries(nonsense).filter(([, data]) => data.length < 4000);
    const record = (await scene.revisions(sessionId)).at(-1)!;
    for (const [index, [, data]] of small.entries()) {
      await js.publish(`$KV.sessions.default.s_broken${index}`, data);
      await js.publish(`$KV.hosts.host-broken${index}`, data);
      await js.publish(`$KV.pools.broken${index}`, data);
      await js.publish(`$KV.rollups.default.quick.${index}`, data);
    }
    // A record under the key of another session, and invalid values under the keys of a host and a pool.
    await js.publish("$KV.sessions.default.s_notmine", json(record));
    await js.publish("$KV.hosts.host-1", "garbage");
    await js.publish("$KV.pools.quick", "garbage");
    await startAndEnd();
    const ids = (await scene.stack.get("/api/sessions?limit=200")).body.sessions;
    expect(ids.filter((one: { sessionId: string }) => one.sessionId === sessionId)).toHaveLength(1);
    expect((await scene.hosts()).map(({ hostId }) => hostId)).toEqual(["host-1"]);
    expect((await scene.stack.get("/api/session/s_broken1")).body.error.code).toBe("unreadable_record");
    expect((await scene.stack.get("/api/session/s_notmine")).body.error.code).toBe("unreadable_record");
    await until(
      async () => {
        const entry = await (await js.views.kv("hosts")).get("host-1");
        return entry?.string().startsWith("{");
      },
      { timeoutMs: PATIENCE_MS, what: "the host has written its record again" },
    );
    expect(await scene.session(sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    expect(await scene.end(sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
  });

  test("hides no other line in the log of a session", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    await scene.job(sessionId);
    for (const data of Object.values(nonsense)) await js.publish(`log.default.${sessionId}`, data);
    await js.publish(`log.default.${sessionId}`, json({ tenant: "other", sessionId, lines: [] }));
    expect((await scene.logs(sessionId)).some(({ message }) => message.startsWith("job "))).toBe(true);
    await scene.end(sessionId);
  });

  test("stops no session from starting, running and ending, whatever its content and subject", async () => {
    const running = await scene.start({ profile: "quick" });
    const addresses = fc.constantFrom(
      `session.default.${running.sessionId}.joined`,
      "session.default.s_none.requested",
      "session.__proto__.constructor.ready",
      "hosts.changed",
      "services.heartbeat",
      "rooms.event",
      "host.host-1.assign",
      "host.host-1.release",
      "host.host-1.ping",
      `log.default.${running.sessionId}`,
      "$KV.sessions.default.s_none",
      "$KV.hosts.host-none",
      "$KV.pools.none",
    );
    const seed = Math.floor(Math.random() * 2 ** 31);
    const pieces = fc.sample(fc.tuple(addresses, anyPayload), { numRuns: 1500, seed });
    for (const [subject, data] of pieces) nats.publish(subject, data);
    await nats.flush();
    for (let round = 0; round < 3; round++) await startAndEnd();
    await nothingIsStuck();
    expect(await scene.session(running.sessionId), `seed ${seed}`).toMatchObject({
      state: "ready",
      attempt: 1,
    });
    expect(await scene.end(running.sessionId), `seed ${seed}`).toMatchObject({ endedReason: "completed" });
  });
});
