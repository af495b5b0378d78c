// Records in buckets behave the same in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type Bus, type Change, getOwn } from "../../libs/bus/bus.ts";
import { type Bucket, hosts, invitations, pools, sessions } from "../../libs/contracts/buckets.ts";
import { type Invitation, invitationKey } from "../../libs/contracts/sessions/invitation.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { aHost, aPool } from "../kit/fixtures/sessions.ts";
import { eventually, fresh, kinds, sessionRecord, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("bucket on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  const writeIds = (changes: readonly Change<SessionRecord>[]) => changes.map(({ value }) => value?.writeId);

  test("starts a watch at once and lists nothing while it is empty", async () => {
    const seen: string[] = [];
    const stop = await bus.kv.watch(pools, ({ key }) => seen.push(key));
    expect(seen).toEqual([]);
    expect(await bus.kv.entries(pools)).toEqual([]);
    await bus.kv.update(pools, aPool("first", 1), 0);
    await eventually(() => seen.length === 1);
    expect(seen).toEqual(["first"]);
    await stop();
  });

  test("stores a record, returns it, and updates it on its revision", async () => {
    const record = sessionRecord("t", fresh("s"));
    const key = `t.${record.sessionId}`;
    expect(await bus.kv.get(sessions, key)).toBeUndefined();
    const first = (await bus.kv.update(sessions, record, 0)) ?? 0;
    expect(first).toBeGreaterThan(0);
    const entry = await bus.kv.get(sessions, key);
    expect(entry).toEqual({ key, value: record, revision: first });
    expect(entry?.value).not.toBe(record);
    const second = (await bus.kv.update(sessions, { ...record, writeId: "two" }, first)) ?? 0;
    expect(second).toBeGreaterThan(first);
    expect((await bus.kv.get(sessions, key))?.value.writeId).toBe("two");
  });

  test("assigns revisions in one sequence across all keys", async () => {
    const one = (await bus.kv.update(hosts, aHost(fresh("h")), 0)) ?? 0;
    const two = (await bus.kv.update(hosts, aHost(fresh("h")), 0)) ?? 0;
    expect(two).toBe(one + 1);
  });

  test("removes a value after a time of its own, and keeps one that has replaced it", async () => {
    const anInvitation = (room: string, unusedForS?: number): Invitation => ({
      ...{ v: 1, tenant: "t", room, user: { id: "u", name: "U" }, metadata: {} },
      ...(unusedForS === undefined ? {} : { unusedForS }),
    });
    const rooms = [fresh("unused"), fresh("used")] as const;
    const [unused, used] = rooms.map((room) => invitationKey(anInvitation(room)));
    await bus.kv.update(invitations, anInvitation(rooms[0], 2), 0);
    const first = await bus.kv.update(invitations, anInvitation(rooms[1], 2), 0);
    await bus.kv.update(invitations, anInvitation(rooms[1]), first ?? 0);
    expect(await bus.kv.get(invitations, unused ?? "")).toBeDefined();
    await pause(3500);
    await eventually(async () => (await bus.kv.get(invitations, unused ?? "")) === undefined);
    expect((await bus.kv.entries(invitations, "t.>")).map(({ key }) => key)).toEqual([used]);
    expect(await bus.kv.update(invitations, anInvitation(rooms[0]), 0)).toBeGreaterThan(0);
  });

  test("ignores an update on an old revision", async () => {
    const record = sessionRecord("t", fresh("s"));
    const first = (await bus.kv.update(sessions, record, 0)) ?? 0;
    const second = await bus.kv.update(sessions, { ...record, writeId: "two" }, first);
    expect(await bus.kv.update(sessions, { ...record, writeId: "late" }, first)).toBeUndefined();
    expect(await bus.kv.update(sessions, { ...record, writeId: "new" }, 0)).toBeUndefined();
    expect(await bus.kv.update(sessions, { ...record, writeId: "ahead" }, (second ?? 0) + 1)).toBeUndefined();
    expect(await bus.kv.get(sessions, `t.${record.sessionId}`)).toMatchObject({
      value: { writeId: "two" },
      revision: second,
    });
  });

  test("ignores an update of a missing key", async () => {
    const record = sessionRecord("t", fresh("s"));
    expect(await bus.kv.update(sessions, record, 5)).toBeUndefined();
    expect(await bus.kv.get(sessions, `t.${record.sessionId}`)).toBeUndefined();
  });

  test("accepts one of several concurrent updates", async () => {
    const others = await Promise.all(["a", "b", "c", "d"].map((name) => buses.connect(name)));
    const record = sessionRecord("t", fresh("s"));
    const first = (await bus.kv.update(sessions, record, 0)) ?? 0;
    const won = await Promise.all(
      others.map((other, index) => other.kv.update(sessions, { ...record, writeId: `op${index}` }, first)),
    );
    const winner = won.findIndex((revision) => revision !== undefined);
    expect(won.filter((revision) => revision !== undefined)).toHaveLength(1);
    expect(await bus.kv.get(sessions, `t.${record.sessionId}`)).toMatchObject({
      value: { writeId: `op${winner}` },
      revision: won[winner],
    });
  });

  test("recognizes the repeated write of a writer whose answer was lost", async () => {
    const record = sessionRecord("t", fresh("s"), { writeId: "mine" });
    const first = await bus.kv.update(sessions, record, 0);
    expect(await bus.kv.update(sessions, record, 0)).toBe(first);
    const second = await bus.kv.update(sessions, { ...record, writeId: "mine too" }, first ?? 0);
    expect(await bus.kv.update(sessions, { ...record, writeId: "mine too" }, first ?? 0)).toBe(second);
    expect(await bus.kv.history(sessions, `t.${record.sessionId}`)).toHaveLength(2);
  });

  test("rejects a record that is too large", async () => {
    const record = sessionRecord("t", fresh("s"), { requestHash: "x".repeat(sessions.maxValueBytes) });
    await expect(bus.kv.update(sessions, record, 0)).rejects.toMatchObject({ code: "payload_too_large" });
    expect(await bus.kv.get(sessions, `t.${record.sessionId}`)).toBeUndefined();
  });

  test("forgets a deleted key, ignores updates on its old revisions, and lets it be created again", async () => {
    const record = sessionRecord("t", fresh("s"));
    const key = `t.${record.sessionId}`;
    const first = (await bus.kv.update(sessions, record, 0)) ?? 0;
    const second = (await bus.kv.update(sessions, { ...record, writeId: "two" }, first)) ?? 0;
    expect(await bus.kv.delete(sessions, key, first)).toBe(false);
    expect(await bus.kv.delete(sessions, key, 0)).toBe(false);
    expect((await bus.kv.get(sessions, key))?.revision).toBe(second);
    expect(await bus.kv.delete(sessions, key, second)).toBe(true);
    expect(await bus.kv.get(sessions, key)).toBeUndefined();
    expect(await bus.kv.history(sessions, key)).toEqual([]);
    expect(await bus.kv.delete(sessions, key, second)).toBe(false);
    expect(await bus.kv.update(sessions, { ...record, writeId: "late" }, second)).toBeUndefined();
    const again = (await bus.kv.update(sessions, { ...record, writeId: "again" }, 0)) ?? 0;
    expect(again).toBe(second + 2);
    expect(await bus.kv.update(sessions, { ...record, writeId: "other" }, 0)).toBeUndefined();
    expect((await bus.kv.history(sessions, key)).map(({ value }) => value.writeId)).toEqual(["again"]);
  });

  test("reports false for the deletion of a missing key", async () => {
    expect(await bus.kv.delete(sessions, `t.${fresh("s")}`, 0)).toBe(false);
    expect(await bus.kv.delete(sessions, `t.${fresh("s")}`, 3)).toBe(false);
  });

  test("returns the stored history of a key, oldest first", async () => {
    const record = sessionRecord("t", fresh("s"));
    const key = `t.${record.sessionId}`;
    expect(await bus.kv.history(sessions, key)).toEqual([]);
    let revision = 0;
    for (let index = 0; index < sessions.history + 3; index++) {
      revision = (await bus.kv.update(sessions, { ...record, writeId: `op${index}` }, revision)) ?? -1;
    }
    const kept = await bus.kv.history(sessions, key);
    expect(kept).toHaveLength(sessions.history);
    expect(kept[0]?.value.writeId).toBe("op3");
    expect(kept.at(-1)).toMatchObject({ key, revision, value: { writeId: `op${sessions.history + 2}` } });
    const id = fresh("h");
    const epoch = (await bus.kv.update(hosts, aHost(id, 1), 0)) ?? 0;
    await bus.kv.update(hosts, aHost(id, 2), epoch);
    expect((await bus.kv.history(hosts, id)).map(({ value }) => value.sequence)).toEqual([2]);
  });

  test("lists the newest revision of every key that is not deleted", async () => {
    const tenant = fresh("t");
    const revisions = await Promise.all(
      ["a", "b", "c"].map(async (id) => (await bus.kv.update(sessions, sessionRecord(tenant, id), 0)) ?? 0),
    );
    await bus.kv.update(sessions, sessionRecord(tenant, "a", { writeId: "newer" }), revisions[0] ?? 0);
    await bus.kv.delete(sessions, `${tenant}.b`, revisions[1] ?? 0);
    const mine = (await bus.kv.entries(sessions)).filter(({ value }) => value.tenant === tenant);
    expect(mine.map(({ key, value }) => [key, value.writeId]).sort()).toEqual([
      [`${tenant}.a`, "newer"],
      [`${tenant}.c`, ""],
    ]);
  });

  test("lists the keys that match a filter and are not deleted", async () => {
    const [tenant, other] = [fresh("t"), fresh("t")];
    for (const id of ["a", "b", "c"]) await bus.kv.update(sessions, sessionRecord(tenant, id), 0);
    await bus.kv.update(sessions, sessionRecord(other, "a"), 0);
    const revision = (await bus.kv.get(sessions, `${tenant}.b`))?.revision ?? 0;
    await bus.kv.delete(sessions, `${tenant}.b`, revision);
    const keysOf = async (filter: string) =>
      (await bus.kv.entries(sessions, filter)).map(({ key }) => key).sort();
    const left = [`${tenant}.a`, `${tenant}.c`];
    expect(await keysOf(`${tenant}.*`)).toEqual(left);
    expect(await keysOf(`${tenant}.>`)).toEqual(left);
    expect(await keysOf(`${tenant}.c`)).toEqual([`${tenant}.c`]);
    expect(await keysOf(`${tenant}.b`)).toEqual([]);
    expect(await keysOf(`${fresh("t")}.>`)).toEqual([]);
    expect(await keysOf(`${tenant}.*.*`)).toEqual([]);
    expect(await keysOf("*.a")).toEqual(expect.arrayContaining([`${tenant}.a`, `${other}.a`]));
    const [entry] = await bus.kv.entries(sessions, `${tenant}.a`);
    expect(entry).toEqual(await bus.kv.get(sessions, `${tenant}.a`));
  });

  test("omits unreadable records from a filtered list", async () => {
    const tenant = fresh("t");
    const careless: Bucket<SessionRecord> = { ...sessions, keyOf: ({ sessionId: id }) => `${tenant}.${id}` };
    await bus.kv.update(careless, sessionRecord(fresh("t"), "bad"), 0);
    await bus.kv.update(sessions, sessionRecord(tenant, "good"), 0);
    expect((await bus.kv.entries(sessions, `${tenant}.>`)).map(({ key }) => key)).toEqual([`${tenant}.good`]);
  });

  test("notifies a watcher of stored records before the watch resolves, then of each change", async () => {
    const tenant = fresh("t");
    const other = await buses.connect("watcher");
    const seen: Change<SessionRecord>[] = [];
    const first = (await bus.kv.update(sessions, sessionRecord(tenant, "s", { writeId: "1" }), 0)) ?? 0;
    const stop = await other.kv.watch(sessions, (change) => {
      if (change.key.startsWith(tenant)) seen.push(change);
    });
    expect(writeIds(seen)).toEqual(["1"]);
    const second = (await bus.kv.update(sessions, sessionRecord(tenant, "s", { writeId: "2" }), first)) ?? 0;
    await eventually(() => seen.length === 2);
    await bus.kv.delete(sessions, `${tenant}.s`, second);
    await eventually(() => seen.length === 3);
    await bus.kv.update(sessions, sessionRecord(tenant, "s", { writeId: "3" }), 0);
    await eventually(() => seen.length === 4);
    expect(writeIds(seen)).toEqual(["1", "2", undefined, "3"]);
    expect(seen.map(({ revision }) => revision)).toEqual([first, second, second + 1, second + 2]);
    expect(new Set(seen.map(({ key }) => key))).toEqual(new Set([`${tenant}.s`]));
    await stop();
    await bus.kv.update(sessions, sessionRecord(tenant, "s", { writeId: "4" }), second + 2);
    await pause(150);
    expect(seen).toHaveLength(4);
  });

  test("notifies all watchers of the same changes in the order of writing", async () => {
    const tenant = fresh("t");
    const other = await buses.connect("watcher");
    const notified: string[][] = [[], [], []];
    const stops = await Promise.all(
      [bus, bus, other].map((watcher, index) =>
        watcher.kv.watch(sessions, ({ key, value }) => {
          if (key.startsWith(tenant)) notified[index]?.push(`${value?.sessionId} ${value?.writeId}`);
        }),
      ),
    );
    const wanted: string[] = [];
    for (let round = 0; round < 5; round++) {
      for (const id of ["a", "b"]) {
        const present = await bus.kv.get(sessions, `${tenant}.${id}`);
        await bus.kv.update(
          sessions,
          sessionRecord(tenant, id, { writeId: String(round) }),
          present?.revision ?? 0,
        );
        wanted.push(`${id} ${round}`);
      }
    }
    await eventually(() => notified.every((lines) => lines.length === 10));
    expect(notified).toEqual([wanted, wanted, wanted]);
    for (const stop of stops) await stop();
  });

  test("hides an unreadable record from watchers and lists, and fails to return it", async () => {
    const tenant = fresh("t");
    const { valueTtlMs: _, ...kept } = sessions;
    const anything: Bucket<{ key: string }> = { ...kept, schema: z.any(), keyOf: ({ key }) => key };
    const bad = `${tenant}.bad`;
    await bus.kv.update(anything, { key: bad }, 0);
    await bus.kv.update(sessions, sessionRecord(tenant, "good"), 0);
    const seen: string[] = [];
    const stop = await bus.kv.watch(sessions, ({ key }) => {
      if (key.startsWith(tenant)) seen.push(key);
    });
    expect(seen).toEqual([`${tenant}.good`]);
    const listed = (await bus.kv.entries(sessions)).filter(({ value }) => value.tenant === tenant);
    expect(listed).toHaveLength(1);
    await expect(bus.kv.get(sessions, bad)).rejects.toMatchObject({ code: "unreadable_record" });
    // The owner of the key can replace the record.
    const own = await getOwn(bus, sessions, bad);
    expect(own.value).toBeUndefined();
    expect(await bus.kv.update(sessions, sessionRecord(tenant, "bad"), own.revision)).toBeGreaterThan(
      own.revision,
    );
    expect((await bus.kv.get(sessions, bad))?.value.sessionId).toBe("bad");
    await stop();
  });
});
