// Consuming the changes of a bucket behaves the same in memory and on NATS: no change is missed, even when consumers die.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Ack, Bus, Change } from "../../libs/bus/bus.ts";
import { type Bucket, hosts, sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { deadLetters } from "../../libs/contracts/streams.ts";
import { aHost } from "../kit/fixtures/sessions.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventually, fresh, kinds, sessionRecord, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("consuming a bucket on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  /** Creates a tenant, since a consumer receives the changes of the whole bucket. */
  const isolated = (concurrency = 4) => {
    const tenant = fresh("t");
    const options = { durable: fresh("d"), description: "a test", concurrency };
    const consume = (by: Bus, handle: (change: Change<SessionRecord>, deliveries: number) => Promise<Ack>) =>
      by.kv.consume(sessions, options, async (change, { deliveries }) =>
        change.key.startsWith(`${tenant}.`) ? handle(change, deliveries) : "ack",
      );
    const save = async (id: string, writeId: string, revision = 0) =>
      (await bus.kv.update(sessions, sessionRecord(tenant, id, { writeId }), revision)) ?? -1;
    return { tenant, options, consume, save };
  };

  test("delivers stored revisions, new ones and a deletion in order at a concurrency of one", async () => {
    const { tenant, options, save } = isolated(1);
    const first = await save("s", "1");
    const second = await save("s", "2", first);
    const seen: [string, number, string | undefined][] = [];
    const subjects = new Set<string>();
    const stop = await bus.kv.consume(sessions, options, async ({ key, revision, value }, delivery) => {
      if (!key.startsWith(tenant)) return "ack";
      seen.push([key, revision, value?.writeId]);
      subjects.add(delivery.subject);
      expect(delivery).toMatchObject({ sequence: revision, deliveries: 1 });
      return "ack";
    });
    await eventually(() => seen.length === 2);
    const third = await save("s", "3", second);
    await eventually(() => seen.length === 3);
    await bus.kv.delete(sessions, `${tenant}.s`, third);
    await eventually(() => seen.length === 4);
    const key = `${tenant}.s`;
    expect(seen).toEqual([
      [key, first, "1"],
      [key, second, "2"],
      [key, third, "3"],
      [key, third + 1, undefined],
    ]);
    expect([...subjects]).toEqual([`$KV.sessions.${key}`]);
    await stop();
  });

  test("never redelivers acked changes to a later consumer with the same name", async () => {
    const { save, consume } = isolated();
    const first = await save("s", "1");
    const seen: string[] = [];
    const note = async ({ value }: Change<SessionRecord>): Promise<Ack> => {
      seen.push(value?.writeId ?? "gone");
      return "ack";
    };
    const stop = await consume(bus, note);
    await eventually(() => seen.length === 1);
    await pause(100); // For the ack to arrive.
    await stop();
    await save("s", "2", first);
    const stopAgain = await consume(await buses.connect("later"), note);
    await eventually(() => seen.length === 2);
    await pause(200);
    expect(seen).toEqual(["1", "2"]);
    await stopAgain();
  });

  test("redelivers a change until it is acked, and counts the deliveries", async () => {
    const { save, consume } = isolated();
    const seen: number[] = [];
    const stop = await consume(bus, async (_change, deliveries) => {
      seen.push(deliveries);
      if (deliveries === 2) throw new Error("a bug that goes away");
      return deliveries < 4 ? "nak" : "ack";
    });
    await save("s", "1");
    await eventually(() => seen.length === 4);
    await pause(300);
    expect(seen).toEqual([1, 2, 3, 4]);
    await stop();
  });

  test("shares the changes among consumers with the same name, each change once", async () => {
    const { save, consume } = isolated(2);
    const others = await Promise.all(["a", "b", "c"].map((name) => buses.connect(name)));
    const seen: string[] = [];
    const countByConsumer = new Map<string, number>();
    const stops = await Promise.all(
      others.map((other, index) =>
        consume(other, async ({ key }) => {
          seen.push(key);
          countByConsumer.set(`${index}`, (countByConsumer.get(`${index}`) ?? 0) + 1);
          await pause(20);
          return "ack";
        }),
      ),
    );
    const ids = Array.from({ length: 60 }, (_, index) => `s${index}`);
    await Promise.all(ids.map((id) => save(id, "1")));
    await eventually(() => seen.length >= ids.length, 20_000);
    await pause(200);
    expect(new Set(seen).size).toBe(ids.length);
    expect(seen).toHaveLength(ids.length);
    expect(countByConsumer.size).toBeGreaterThan(1);
    for (const stop of stops) await stop();
  });

  test("redelivers the unacked changes of a dead consumer to another one", async () => {
    const { save, consume } = isolated(4);
    const dying = await buses.connect("dying");
    const successor = await buses.connect("successor");
    const ids = Array.from({ length: 12 }, (_, index) => `s${index}`);
    for (const id of ids) await save(id, "1");

    const done = new Set<string>();
    const started = new Set<string>();
    // The consumer finishes four changes and then hangs on every further one.
    await consume(dying, async ({ key }) => {
      started.add(key);
      if (done.size < 4) {
        done.add(key);
        return "ack";
      }
      return new Promise<Ack>(() => {});
    });
    await eventually(() => started.size === 8);
    await pause(100); // For the acks to arrive.
    await dying.close();

    const redelivered: [string, number][] = [];
    const stop = await consume(successor, async ({ key }, deliveries) => {
      redelivered.push([key, deliveries]);
      return "ack";
    });
    await eventually(() => redelivered.length >= 8, 20_000);
    await pause(200);
    const keys = redelivered.map(([key]) => key);
    expect(new Set([...done, ...keys]).size).toBe(ids.length);
    expect(keys).toHaveLength(8);
    for (const [key, deliveries] of redelivered) expect(deliveries, key).toBe(started.has(key) ? 2 : 1);
    await stop();
  });

  test("skips replaced revisions, including those that wait for redelivery", async () => {
    const id = fresh("h");
    const options = { durable: fresh("d"), description: "a test", concurrency: 1 };
    const seen: number[] = [];
    let isOpen = false;
    const stop = await bus.kv.consume(hosts, options, async ({ key, value }) => {
      if (key !== id) return "ack";
      seen.push(value?.sequence ?? -1);
      return isOpen ? "ack" : "nak";
    });
    let revision = 0;
    for (let sequence = 1; sequence <= 5; sequence++) {
      revision = (await bus.kv.update(hosts, aHost(id, sequence), revision)) ?? -1;
    }
    await eventually(() => seen.includes(5));
    isOpen = true;
    const before = seen.length;
    await eventually(() => seen.length > before);
    await pause(1500); // Longer than any pause before a retry so far.
    // The bucket keeps one revision of a key: once the fifth is stored, no other is delivered.
    expect(seen.slice(seen.indexOf(5))).toEqual(seen.slice(seen.indexOf(5)).map(() => 5));
    expect(seen.slice(before)).toEqual([5]);
    await stop();
  });

  test("turns an unreadable record into a dead letter and delivers its neighbours", async () => {
    const { tenant, save, consume } = isolated();
    const seen: string[] = [];
    const stop = await consume(bus, async ({ key }) => {
      seen.push(key);
      return "ack";
    });
    // Stores a record under the key of another one.
    const elsewhere: Bucket<SessionRecord> = { ...sessions, keyOf: () => `${tenant}.wrong` };
    await bus.kv.update(elsewhere, sessionRecord(tenant, "right"), 0);
    await save("s", "1");
    await eventually(() => seen.length === 1);
    expect(seen).toEqual([`${tenant}.s`]);
    const letters = await eventually(async () => {
      const found = await messagesOn(bus, deadLetters, `dead.$KV.sessions.${tenant}.wrong`, 10);
      return found.length > 0 ? found : undefined;
    });
    expect(letters[0]).toMatchObject({ stream: "KV_sessions", subject: `$KV.sessions.${tenant}.wrong` });
    expect(letters[0]?.reason).toContain(`holds the record of ${tenant}.right`);
    await stop();
  });

  test("turns a change into a dead letter after too many deliveries", async () => {
    const { tenant, options } = isolated();
    const stop = await bus.kv.consume(sessions, { ...options, maxDeliveries: 3 }, async ({ key }) =>
      key.startsWith(tenant) ? "nak" : "ack",
    );
    const revision = await bus.kv.update(sessions, sessionRecord(tenant, "s"), 0);
    const [letter] = await eventually(async () => {
      const found = await messagesOn(bus, deadLetters, `dead.$KV.sessions.${tenant}.s`, 10);
      return found.length > 0 ? found : undefined;
    });
    expect(letter).toMatchObject({ deliveries: 3, sequence: revision });
    await stop();
  });
});
