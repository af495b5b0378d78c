// Purging behaves the same in memory and on NATS: watchers and consumers see it, and nothing else is removed.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus, Change } from "../../libs/bus/bus.ts";
import { hosts, sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventsOf, eventually, fresh, kinds, requested, sessionRecord, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("purge on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  const idsOf = async (tenant: string) =>
    (await bus.streams.read(sessionEvents, { subject: `session.${tenant}.>`, limit: 1000 })).map(
      ({ message }) => message.sessionId,
    );

  test("removes and counts the messages on the subjects, and keeps all others", async () => {
    const [gone, kept] = [fresh("t"), fresh("t")];
    for (const id of ["a", "b", "c"]) {
      await bus.streams.publish(eventsOf(gone), requested(gone, id));
      await bus.streams.publish(eventsOf(kept), requested(kept, id));
    }
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.b.*`)).toBe(1);
    expect(await idsOf(gone)).toEqual(["a", "c"]);
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.>`)).toBe(2);
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.>`)).toBe(0);
    expect(await idsOf(gone)).toEqual([]);
    expect(await idsOf(kept)).toEqual(["a", "b", "c"]);
  });

  test("removes messages from the overflow stream too", async () => {
    const [gone, kept] = [fresh("t"), fresh("t")];
    const overflow = sessionEvents.overflow!;
    await bus.streams.publish(overflow, requested(gone, "a"));
    await bus.streams.publish(overflow, requested(kept, "a"));
    await bus.streams.publish(eventsOf(gone), requested(gone, "b"));
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.>`)).toBe(2);
    expect(await messagesOn(bus, overflow, `overflow.session.${gone}.a.requested`, 1)).toEqual([]);
    expect(await messagesOn(bus, overflow, `overflow.session.${kept}.a.requested`, 1)).toHaveLength(1);
  });

  test("removes all earlier messages, and no others, while messages are being published", async () => {
    const [gone, kept] = [fresh("t"), fresh("t")];
    const writer = await buses.connect("writer");
    const published: string[] = [];
    let isOver = false;
    const writing = (async () => {
      for (let n = 0; !isOver; n++) {
        const id = `s${String(n).padStart(4, "0")}`;
        await Promise.all(
          [gone, kept].map((tenant) => writer.streams.publish(eventsOf(tenant), requested(tenant, id))),
        );
        published.push(id);
        await pause(0); // The memory bus takes no time and would starve other tasks.
      }
    })();
    await eventually(() => published.length > 20);
    const before = [...published];
    const count = await bus.admin.purge(sessionEvents, `session.${gone}.>`);
    const after = published.length + 1;
    await eventually(() => published.length > after + 20);
    isOver = true;
    await writing;

    const left = await idsOf(gone);
    expect(count).toBeGreaterThanOrEqual(before.length);
    expect(left.filter((id) => before.includes(id))).toEqual([]);
    // Every message that the purge did not count is still stored.
    expect(left).toEqual(published.slice(count));
    expect(left.length).toBeGreaterThan(10);
    expect(await idsOf(kept)).toEqual(published);
  });

  test("leaves the ids of purged messages known, so that a repeated publish is a duplicate", async () => {
    const tenant = fresh("t");
    await bus.streams.publish(eventsOf(tenant), requested(tenant, "a"));
    await bus.admin.purge(sessionEvents, `session.${tenant}.>`);
    expect(await bus.streams.publish(eventsOf(tenant), requested(tenant, "a"))).toEqual({ duplicate: true });
    expect(await idsOf(tenant)).toEqual([]);
  });

  test("hides purged messages from consumers, including those that wait for redelivery", async () => {
    const tenant = fresh("t");
    const options = { durable: fresh("d"), description: "a test", concurrency: 1 };
    for (const id of ["retried", "a", "b"])
      await bus.streams.publish(eventsOf(tenant), requested(tenant, id));
    const seen: string[] = [];
    let release = () => {};
    const isReleased = new Promise<void>((resolve) => {
      release = resolve;
    });
    const stop = await bus.streams.consume(eventsOf(tenant), options, async ({ sessionId }) => {
      seen.push(sessionId);
      if (sessionId !== "later") await isReleased;
      return sessionId === "later" ? "ack" : "nak";
    });
    await eventually(() => seen.length === 1);
    expect(await bus.admin.purge(sessionEvents, `session.${tenant}.>`)).toBe(3);
    await bus.streams.publish(eventsOf(tenant), requested(tenant, "later"));
    release();
    await eventually(() => seen.includes("later"));
    await pause(1000);
    expect(seen).toEqual(["retried", "later"]);
    await stop();
  });

  test("removes the keys of a bucket with all their revisions and notifies watchers and consumers", async () => {
    const [gone, kept] = [fresh("t"), fresh("t")];
    const watcher = await buses.connect("watcher");
    const seen = new Map<string, SessionRecord | undefined>();
    const followed = new Map<string, SessionRecord | undefined>();
    const mine = (see: Map<string, SessionRecord | undefined>) => (change: Change<SessionRecord>) => {
      if (change.key.startsWith(gone) || change.key.startsWith(kept)) see.set(change.key, change.value);
    };
    const stop = await watcher.kv.watch(sessions, mine(seen));
    const note = mine(followed);
    const stopFollowing = await watcher.kv.consume(
      sessions,
      { durable: fresh("d"), description: "a test", concurrency: 1 },
      async (change) => {
        note(change);
        return "ack";
      },
    );
    const first = (await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "1" }), 0)) ?? 0;
    const last = (await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "2" }), first)) ?? 0;
    await bus.kv.update(sessions, sessionRecord(gone, "b"), 0);
    await bus.kv.update(sessions, sessionRecord(kept, "a"), 0);

    expect(await bus.admin.purge(sessions, `${gone}.>`)).toBe(3);
    expect(await bus.admin.purge(sessions, `${gone}.>`)).toBe(0);
    for (const id of ["a", "b"]) {
      expect(await bus.kv.get(sessions, `${gone}.${id}`)).toBeUndefined();
      expect(await bus.kv.history(sessions, `${gone}.${id}`)).toEqual([]);
    }
    expect(await bus.kv.entries(sessions, `${gone}.>`)).toEqual([]);
    expect(await bus.kv.entries(sessions, `${kept}.>`)).toHaveLength(1);
    for (const changes of [seen, followed]) {
      await eventually(() => changes.size === 3 && [...changes.values()].filter(Boolean).length === 1);
      expect([...changes].filter(([, value]) => value !== undefined).map(([key]) => key)).toEqual([
        `${kept}.a`,
      ]);
    }
    // A write on the purged revision is too late, but the key can be created again.
    expect(
      await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "late" }), last),
    ).toBeUndefined();
    const again = await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "new" }), 0);
    expect(again).toBeGreaterThan(last);
    await eventually(() => seen.get(`${gone}.a`)?.writeId === "new");
    await stop();
    await stopFollowing();
  });

  test("removes a single key, and counts zero where nothing is stored", async () => {
    const tenant = fresh("t");
    const revision = (await bus.kv.update(sessions, sessionRecord(tenant, "a"), 0)) ?? 0;
    await bus.kv.update(sessions, sessionRecord(tenant, "b"), 0);
    expect(await bus.admin.purge(sessions, `${tenant}.a`)).toBe(1);
    expect(await bus.admin.purge(sessions, `${tenant}.a`)).toBe(0);
    expect(await bus.admin.purge(sessions, `${tenant}.never`)).toBe(0);
    expect(await bus.admin.purge(hosts, fresh("h"))).toBe(0);
    expect(await bus.admin.purge(sessionEvents, `session.${tenant}.>`)).toBe(0);
    expect((await bus.kv.entries(sessions, `${tenant}.*`)).map(({ key }) => key)).toEqual([`${tenant}.b`]);
    expect(await bus.kv.delete(sessions, `${tenant}.a`, revision)).toBe(false);
  });

  test("removes hundreds of keys while another tenant's keys are written", async () => {
    const [gone, kept] = [fresh("t"), fresh("t")];
    const ids = Array.from({ length: 200 }, (_, index) => `s${index}`);
    await Promise.all(ids.map((id) => bus.kv.update(sessions, sessionRecord(gone, id), 0)));
    const [count] = await Promise.all([
      bus.admin.purge(sessions, `${gone}.>`),
      ...ids.map((id) => bus.kv.update(sessions, sessionRecord(kept, id), 0)),
    ]);
    expect(count).toBe(ids.length);
    expect(await bus.kv.entries(sessions, `${gone}.>`)).toEqual([]);
    expect(await bus.kv.entries(sessions, `${kept}.>`)).toHaveLength(ids.length);
  });
});
