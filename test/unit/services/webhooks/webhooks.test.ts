// Webhooks from a session's events until delivery, on the in-memory bus in simulated time.
import { describe, expect, test } from "vitest";
import { sessions, webhookEndpoints } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import {
  deadLetters,
  webhookDeliveries,
  webhooks,
  webhooksQueued,
} from "../../../../libs/contracts/streams.ts";
import { endpointKey } from "../../../../libs/contracts/webhooks/webhook.ts";
import type { Posted } from "../../../../services/webhooks/post.ts";
import { endByApi, getReady } from "../../../kit/fixtures/session-steps.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../kit/worlds/memory-world.ts";
import { anEndpoint, type World, webhookWorld } from "../../../kit/worlds/webhook-world.ts";

const HOUR_MS = 60 * MINUTE_MS;
/** Hours and days of simulated time take some real seconds on a busy machine. */
const HOURS = { timeout: 60_000 };
/** Saves a session from its request to its call record. */
async function live(w: World, s: Awaited<ReturnType<typeof webhookWorld>>, id: string): Promise<void> {
  await s.save(aSession(id));
  const ready = getReady(aSession(id));
  await s.save(ready);
  await w.clock.advance(100);
  const ended = endByApi(ready);
  await s.save(ended);
  await s.record(ended);
  await w.clock.advance(100);
}

const WHOLE = ["1 session.ready", "2 session.ended", "3 call.completed"];

describe("webhooks service, one endpoint", () => {
  test("delivers a session's events in order and once", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    await live(w, s, "s1");
    await w.clock.advance(2 * MINUTE_MS);
    expect(s.receivedBy("a")).toEqual(WHOLE);
    expect(new Set(s.received.map(({ event }) => event.id)).size).toBe(3);
  });

  test(
    "delivers all events in order despite faults of network and store, with several instances",
    HOURS,
    async () => {
      const faults = {
        ...{ hopMs: [0, 50] as const, slow: 0.1, slowMs: 3000, repeat: 0.2, loseAck: 0.2, ambiguous: 0.05 },
        ...{ resend: 0.1, refuse: 0.05, stale: 0.2, staleMs: 2000, skip: 0.5 },
      };
      for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
        const w = world(faults, seed, seed % 2 === 0 ? 3 : 1);
        const s = await webhookWorld(w);
        for (const name of ["one", "two", "three"]) await s.webhooks(name);
        await s.register(anEndpoint("a"));
        await w.clock.advance(MINUTE_MS);
        for (const id of ["s1", "s2", "s3"]) await live(w, s, id);
        await w.clock.advance(5 * MINUTE_MS);
        w.server.calm();
        await w.clock.advance(10 * MINUTE_MS);
        for (const id of ["s1", "s2", "s3"]) {
          const mine = s.received.filter(({ event }) => event.sessionId === id);
          // An event may be repeated with its id if its instance lost the queue during the delivery.
          const firsts = mine.filter(
            ({ event }, i) => mine.findIndex((one) => one.event.id === event.id) === i,
          );
          expect(firsts.map(({ event }) => `${event.sequence} ${event.type}`)).toEqual(WHOLE);
        }
        expect(s.received.length).toBeLessThan(2 * 9);
      }
    },
  );

  test("delivers only requested event types of the endpoint's tenant, with the session's own numbers", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.register(anEndpoint("a", { events: ["session.ended"] }));
    await s.register(anEndpoint("b", { tenant: "other" }));
    await live(w, s, "s1");
    await w.clock.advance(MINUTE_MS);
    expect(s.receivedBy("a")).toEqual(["2 session.ended"]);
    expect(s.receivedBy("b")).toEqual([]);
  });

  test(
    "delivers to other endpoints while one is down, and everything in order when that is back",
    HOURS,
    async () => {
      const w = world();
      let isDead = true;
      const s = await webhookWorld(w, ({ to }) => (to === "a" && isDead ? { status: 500 } : { status: 200 }));
      await s.webhooks("one");
      await s.register(anEndpoint("a"));
      await s.register(anEndpoint("b"));
      for (let i = 0; i < 20; i++) await live(w, s, `s${i}`);
      await w.clock.advance(10_000);
      expect(s.receivedBy("b")).toHaveLength(60);
      expect((await s.queue("a"))?.failures).toBeGreaterThan(3);
      const before = s.receivedBy("a").length;
      await w.clock.advance(3 * HOUR_MS);
      // While the endpoint is down, it gets a probe at least every five minutes and at most every minute.
      expect(s.receivedBy("a").length - before).toBeLessThan(200);
      expect(s.receivedBy("a").length - before).toBeGreaterThan(20);
      isDead = false;
      const from = s.received.length;
      await w.clock.advance(10 * MINUTE_MS);
      const late = s.received.slice(from).filter(({ to }) => to === "a");
      for (let i = 0; i < 20; i++) {
        const mine = late.filter(({ event }) => event.sessionId === `s${i}`);
        expect(mine.map(({ event }) => `${event.sequence} ${event.type}`)).toEqual(WHOLE);
      }
      expect(await s.queue("a")).toMatchObject({ lanes: [], failures: 0, delivered: 60 });
    },
  );

  test("disables an endpoint that answers 410, and delivers again after a person enables it", async () => {
    const w = world();
    let isGone = true;
    const s = await webhookWorld(w, () => (isGone ? { status: 410 } : { status: 200 }));
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    await live(w, s, "s1");
    await w.clock.advance(HOUR_MS);
    expect(s.received).toHaveLength(1);
    expect((await s.queue("a"))?.disabled).toMatchObject({
      generation: 1,
      reason: "the endpoint answered 410 Gone",
    });
    await live(w, s, "s2");
    expect(s.received).toHaveLength(1);
    isGone = false;
    const entry = await w.outcome(s.bus.kv.get(webhookEndpoints, endpointKey("t", "a")));
    await w.outcome(
      s.bus.kv.update(webhookEndpoints, anEndpoint("a", { generation: 2 }), entry?.revision ?? 0),
    );
    await w.clock.advance(MINUTE_MS);
    // Pending events are delivered, unlike those from the time when the endpoint was disabled.
    expect(s.received.slice(1).map(({ event }) => `${event.sessionId} ${event.sequence}`)).toEqual(["s1 1"]);
    await live(w, s, "s3");
    await w.clock.advance(MINUTE_MS);
    expect(s.received.filter(({ event }) => event.sessionId === "s3")).toHaveLength(3);
    expect((await s.queue("a"))?.disabled).toBeUndefined();
  });

  test(
    "disables an endpoint that accepts nothing for a day, and stores its events as dead letters",
    HOURS,
    async () => {
      const w = world();
      const s = await webhookWorld(w, () => ({ status: undefined, reason: "ECONNREFUSED" }));
      await s.webhooks("one");
      await s.register(anEndpoint("a"));
      await live(w, s, "s1");
      await w.clock.advance(30 * HOUR_MS);
      const letters = w.server.stored(deadLetters).map(({ message }) => message);
      expect(letters).toHaveLength(1);
      expect(letters[0]).toMatchObject({
        subject: "webhook.t.a.s1.session-1",
        stream: "WEBHOOKS",
        reason: "Delivery failed: ECONNREFUSED",
      });
      expect((await s.queue("a"))?.disabled?.reason).toContain("No delivery succeeded for a day");
      const requests = s.received.length;
      await w.clock.advance(10 * HOUR_MS);
      expect(s.received.length).toBe(requests);
    },
  );

  test("does not deliver events that were deleted while the endpoint was down", async () => {
    const w = world();
    let isDead = true;
    const s = await webhookWorld(w, () => ({ status: isDead ? 500 : 200 }));
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    for (const id of ["s1", "s2"]) await live(w, s, id);
    await w.clock.advance(MINUTE_MS);
    await w.outcome(s.bus.admin.purge(webhooks, "webhook.t.*.s1.*"));
    expect(JSON.stringify(await s.queue("a"))).toContain("session-s1");
    s.bus.core.publishTransient(webhooksQueued, { tenant: "t", endpoint: "a", removed: true });
    await w.clock.advance(5000);
    expect(JSON.stringify(await s.queue("a"))).not.toContain("session-s1");
    isDead = false;
    const tries = s.received.length;
    await w.clock.advance(10 * MINUTE_MS);
    expect(s.received.slice(tries).map(({ event }) => event.sessionId)).toEqual(["s2", "s2", "s2"]);
    expect((await s.queue("a"))?.lanes).toEqual([]);
  });

  test("stops when the endpoint is deleted, and deletes its queue", async () => {
    const w = world();
    const s = await webhookWorld(w, () => ({ status: 500 }));
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    await live(w, s, "s1");
    await w.clock.advance(MINUTE_MS);
    const entry = await w.outcome(s.bus.kv.get(webhookEndpoints, endpointKey("t", "a")));
    await w.outcome(s.bus.kv.delete(webhookEndpoints, endpointKey("t", "a"), entry?.revision ?? 0));
    await w.clock.advance(MINUTE_MS);
    const requests = s.received.length;
    await w.clock.advance(HOUR_MS);
    expect(s.received.length).toBe(requests);
    expect(await s.queue("a")).toBeUndefined();
  });
});

describe("webhooks service, several instances", () => {
  test("continues the deliveries of a dead instance, and repeats only unconfirmed ones", async () => {
    const w = world();
    let isSlow = true;
    const s = await webhookWorld(w, ({ by }) =>
      isSlow && by === "one" ? new Promise<Posted>(() => {}) : { status: 200 },
    );
    const one = await s.webhooks("one");
    await s.register(anEndpoint("a"));
    await live(w, s, "s1");
    expect(s.received).toHaveLength(1);
    (one.bus as unknown as { crash(): void }).crash();
    isSlow = false;
    await s.webhooks("two");
    await w.clock.advance(2 * MINUTE_MS);
    expect(s.received.filter(({ by }) => by === "two").map(({ event }) => event.sequence)).toEqual([1, 2, 3]);
    expect((await s.queue("a"))?.delivered).toBe(3);
  });

  test("takes over the queues of a stopping instance at once, with their waits", async () => {
    const w = world();
    let isDead = true;
    const s = await webhookWorld(w, () => (isDead ? { status: 503 } : { status: 200 }));
    const instances = { one: await s.webhooks("one"), two: await s.webhooks("two") };
    await s.register(anEndpoint("a"));
    await live(w, s, "s1");
    await w.clock.advance(10 * MINUTE_MS);
    const owner = (await s.queue("a"))?.owner as keyof typeof instances;
    isDead = false;
    await instances[owner].stop();
    expect((await s.queue("a"))?.owner).not.toBe(owner);
    const tries = s.received.length;
    await w.clock.advance(10 * MINUTE_MS);
    const after = s.received.slice(tries);
    expect(after.map(({ event }) => event.sequence)).toEqual([1, 2, 3]);
    expect(new Set(after.map(({ by }) => by))).toEqual(new Set([owner === "one" ? "two" : "one"]));
    expect((await s.queue("a"))?.lanes).toEqual([]);
  });

  test("delivers nothing again when it reads all records again", async () => {
    const w = world();
    const s = await webhookWorld(w);
    const one = await s.webhooks("one");
    await s.register(anEndpoint("a"));
    await live(w, s, "s1");
    await w.clock.advance(MINUTE_MS);
    await one.stop();
    // Longer than the deduplication window, so only the store shows what was delivered.
    await w.clock.advance(HOUR_MS);
    const entry = await w.outcome(s.bus.kv.get(sessions, "t.s1"));
    await w.outcome(
      s.bus.kv.update(
        sessions,
        { ...(entry as { value: SessionRecord }).value, writeId: "x" },
        entry?.revision ?? 0,
      ),
    );
    await s.webhooks("two");
    await w.clock.advance(HOUR_MS);
    expect(s.received).toHaveLength(3);
    expect(w.server.stored(webhooks)).toHaveLength(3);
  });

  test("records the result of each delivery, without the body", async () => {
    const w = world();
    let failures = 1;
    const s = await webhookWorld(w, () => (failures-- > 0 ? { status: 500 } : { status: 200 }));
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    await s.save(getReady(aSession("s1", { metadata: { name: "Erika Muster" } })));
    await w.clock.advance(MINUTE_MS);
    const listed = w.server.stored(webhookDeliveries).map(({ message }) => message);
    expect(listed).toMatchObject([
      { eventId: "evt_session_s1_1", outcome: "failed", status: 500, tries: 1, nextInMs: 5000 },
      { eventId: "evt_session_s1_1", outcome: "delivered", status: 200, tries: 2 },
    ]);
    expect(JSON.stringify(listed)).not.toContain("Erika");
    expect(JSON.stringify(s.received)).toContain("Erika");
  });
});
