// Purging removes what it says, leaves the rest, and is seen by whoever watches: in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus, Change } from "../../libs/bus/bus.ts";
import { hosts, sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventsOf, eventually, fresh, kinds, requested, sessionRecord, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("purging on %s", (_kind, start) => {
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

  test("what is stored on the subjects goes, and is counted; what is stored on others stays", async () => {
    const [gone, keepUntilReplaced] = [fresh("t"), fresh("t")];
    for (const id of ["a", "b", "c"]) {
      await bus.streams.publish(eventsOf(gone), requested(gone, id));
      await bus.streams.publish(eventsOf(keepUntilReplaced), requested(keepUntilReplaced, id));
    }
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.b.*`)).toBe(1);
    expect(await idsOf(gone)).toEqual(["a", "c"]);
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.>`)).toBe(2);
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.>`)).toBe(0);
    expect(await idsOf(gone)).toEqual([]);
    expect(await idsOf(keepUntilReplaced)).toEqual(["a", "b", "c"]);
  });

  test("what the relief of a channel holds goes too", async () => {
    const [gone, keepUntilReplaced] = [fresh("t"), fresh("t")];
    const relief = sessionEvents.overflow!;
    await bus.streams.publish(relief, requested(gone, "a"));
    await bus.streams.publish(relief, requested(keepUntilReplaced, "a"));
    await bus.streams.publish(eventsOf(gone), requested(gone, "b"));
    expect(await bus.admin.purge(sessionEvents, `session.${gone}.>`)).toBe(2);
    expect(await messagesOn(bus, relief, `overflow.session.${gone}.a.requested`, 1)).toEqual([]);
    expect(
      await messagesOn(bus, relief, `overflow.session.${keepUntilReplaced}.a.requested`, 1),
    ).toHaveLength(1);
  });

  test("while messages are being published, all that came before goes, and no other is touched", async () => {
    const [gone, keepUntilReplaced] = [fresh("t"), fresh("t")];
    const writer = await buses.connect("writer");
    const told: string[] = [];
    let isOver = false;
    const writing = (async () => {
      for (let n = 0; !isOver; n++) {
        const id = `s${String(n).padStart(4, "0")}`;
        await Promise.all(
          [gone, keepUntilReplaced].map((tenant) =>
            writer.streams.publish(eventsOf(tenant), requested(tenant, id)),
          ),
        );
        told.push(id);
        await pause(0); // The memory bus takes no time, and would let nobody else get a turn.
      }
    })();
    await eventually(() => told.length > 20);
    const before = [...told];
    const count = await bus.admin.purge(sessionEvents, `session.${gone}.>`);
    const after = told.length + 1;
    await eventually(() => told.length > after + 20);
    isOver = true;
    await writing;

    const left = await idsOf(gone);
    expect(count).toBeGreaterThanOrEqual(before.length);
    expect(left.filter((id) => before.includes(id))).toEqual([]);
    // Whatever wasn't stored before the purge ended is there: nothing went uncounted.
    expect(left).toEqual(told.slice(count));
    expect(left.length).toBeGreaterThan(10);
    expect(await idsOf(keepUntilReplaced)).toEqual(told);
  });

  test("a purged message that is published again within the window is a duplicate, and is not stored", async () => {
    const tenant = fresh("t");
    await bus.streams.publish(eventsOf(tenant), requested(tenant, "a"));
    await bus.admin.purge(sessionEvents, `session.${tenant}.>`);
    expect(await bus.streams.publish(eventsOf(tenant), requested(tenant, "a"))).toEqual({ duplicate: true });
    expect(await idsOf(tenant)).toEqual([]);
  });

  test("who consumes is not given what is gone, nor again what waited for another try", async () => {
    const tenant = fresh("t");
    const options = { durable: fresh("d"), concurrency: 1 };
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

  test("the keys of a bucket go with all their revisions, and whoever watches and follows is told", async () => {
    const [gone, keepUntilReplaced] = [fresh("t"), fresh("t")];
    const watcher = await buses.connect("watcher");
    const seen = new Map<string, SessionRecord | undefined>();
    const followed = new Map<string, SessionRecord | undefined>();
    const mine = (see: Map<string, SessionRecord | undefined>) => (change: Change<SessionRecord>) => {
      if (change.key.startsWith(gone) || change.key.startsWith(keepUntilReplaced))
        see.set(change.key, change.value);
    };
    const stop = await watcher.kv.watch(sessions, mine(seen));
    const note = mine(followed);
    const stopFollowing = await watcher.kv.consume(
      sessions,
      { durable: fresh("d"), concurrency: 1 },
      async (change) => {
        note(change);
        return "ack";
      },
    );
    const first = (await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "1" }), 0)) ?? 0;
    const last = (await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "2" }), first)) ?? 0;
    await bus.kv.update(sessions, sessionRecord(gone, "b"), 0);
    await bus.kv.update(sessions, sessionRecord(keepUntilReplaced, "a"), 0);

    expect(await bus.admin.purge(sessions, `${gone}.>`)).toBe(3);
    expect(await bus.admin.purge(sessions, `${gone}.>`)).toBe(0);
    for (const id of ["a", "b"]) {
      expect(await bus.kv.get(sessions, `${gone}.${id}`)).toBeUndefined();
      expect(await bus.kv.history(sessions, `${gone}.${id}`)).toEqual([]);
    }
    expect(await bus.kv.entries(sessions, `${gone}.>`)).toEqual([]);
    expect(await bus.kv.entries(sessions, `${keepUntilReplaced}.>`)).toHaveLength(1);
    for (const told of [seen, followed]) {
      await eventually(() => told.size === 3 && [...told.values()].filter(Boolean).length === 1);
      expect([...told].filter(([, value]) => value !== undefined).map(([key]) => key)).toEqual([
        `${keepUntilReplaced}.a`,
      ]);
    }
    // Whoever still believes in what was there is too late, and the key can be made anew.
    expect(
      await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "late" }), last),
    ).toBeUndefined();
    const again = await bus.kv.update(sessions, sessionRecord(gone, "a", { writeId: "new" }), 0);
    expect(again).toBeGreaterThan(last);
    await eventually(() => seen.get(`${gone}.a`)?.writeId === "new");
    await stop();
    await stopFollowing();
  });

  test("one key alone goes by its name, and what isn't there is no error", async () => {
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

  test("some hundred keys go while another tenant's are written", async () => {
    const [gone, keepUntilReplaced] = [fresh("t"), fresh("t")];
    const ids = Array.from({ length: 200 }, (_, index) => `s${index}`);
    await Promise.all(ids.map((id) => bus.kv.update(sessions, sessionRecord(gone, id), 0)));
    const [count] = await Promise.all([
      bus.admin.purge(sessions, `${gone}.>`),
      ...ids.map((id) => bus.kv.update(sessions, sessionRecord(keepUntilReplaced, id), 0)),
    ]);
    expect(count).toBe(ids.length);
    expect(await bus.kv.entries(sessions, `${gone}.>`)).toEqual([]);
    expect(await bus.kv.entries(sessions, `${keepUntilReplaced}.>`)).toHaveLength(ids.length);
  });
});
