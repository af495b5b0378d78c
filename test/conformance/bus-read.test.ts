// Reads of stored messages return the same in memory and on NATS, from any replica and from the leader.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bus, ReadOptions, Stored } from "../../libs/bus/bus.ts";
import { type Channel, calls } from "../../libs/contracts/streams.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventually, fresh, kinds, type TestBuses } from "./buses.ts";

const Note = z.object({ tenant: z.string(), day: z.string(), id: z.string(), text: z.string() });
type Note = z.infer<typeof Note>;

const { allowDirect: _direct, ...led } = calls;
const own = {
  overflow: undefined,
  schema: Note,
  subjectOf: ({ tenant, day, id }: Note) => `call.${tenant}.${day}.${id}`,
  idOf: () => undefined,
};
/** The stream of call records, with one message per subject, read from any replica or from the leader. */
const channels: [string, Channel<Note>][] = [
  ["any replica", { ...calls, ...own }],
  ["the leader", { ...led, ...own }],
];

describe.each(kinds)("reads on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  const textsOf = (page: readonly Stored<Note>[]) => page.map(({ message }) => message.text);

  describe.each(channels)("from %s", (_name, channel) => {
    const store = (tenant: string, day: string, id: string, text = id) =>
      bus.streams.publish(channel, { tenant, day, id, text });

    /** Retries, since a replica may lag. */
    const readWanted = async (subject: string, after: number, limit: number, wanted: readonly string[]) => {
      let page: Stored<Note>[] = [];
      await eventually(async () => {
        page = await bus.streams.read(channel, { subject, from: after + 1, limit });
        return JSON.stringify(textsOf(page)) === JSON.stringify(wanted);
      }).catch(() => expect(textsOf(page)).toEqual(wanted));
      return page;
    };

    test("returns a tenant's day page by page, oldest first", async () => {
      const [tenant, other] = [fresh("t"), fresh("t")];
      for (let n = 1; n <= 7; n++) {
        await store(tenant, "20260101", `a${n}`);
        await store(tenant, "20260102", `b${n}`);
        await store(other, "20260101", `c${n}`);
      }
      const day = `call.${tenant}.20260101.*`;
      const first = await readWanted(day, 0, 3, ["a1", "a2", "a3"]);
      const second = await readWanted(day, first[2]!.sequence, 3, ["a4", "a5", "a6"]);
      await readWanted(day, second[2]!.sequence, 3, ["a7"]);
      const whole = await readWanted(day, 0, 1000, ["a1", "a2", "a3", "a4", "a5", "a6", "a7"]);
      expect(whole[0]?.message).toEqual({ tenant, day: "20260101", id: "a1", text: "a1" });
      const sequences = whole.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
      await readWanted(`call.${tenant}.>`, 0, 4, ["a1", "b1", "a2", "b2"]);
      await readWanted(`call.${other}.20260101.c5`, 0, 4, ["c5"]);
    });

    test("returns a range of sequences, both ends included, in either order", async () => {
      const tenant = fresh("t");
      for (let n = 1; n <= 6; n++) {
        await store(tenant, "20260101", `a${n}`);
        await store(fresh("t"), "20260101", "other");
      }
      const subject = `call.${tenant}.*.*`;
      const all = await readWanted(subject, 0, 10, ["a1", "a2", "a3", "a4", "a5", "a6"]);
      const [, second, third, , fifth] = all.map(({ sequence }) => sequence);
      const [from, to] = [second!, fifth!];
      const read = async (options: Partial<ReadOptions>) =>
        textsOf(await bus.streams.read(channel, { subject, limit: 10, ...options }));
      expect(await read({ from, to })).toEqual(["a2", "a3", "a4", "a5"]);
      expect(await read({ from, to, limit: 2 })).toEqual(["a2", "a3"]);
      expect(await read({ from, to, order: "newest-first" })).toEqual(["a5", "a4", "a3", "a2"]);
      expect(await read({ from, to, limit: 2, order: "newest-first" })).toEqual(["a5", "a4"]);
      expect(await read({ to: third!, limit: 1, order: "newest-first" })).toEqual(["a3"]);
      expect(await read({ limit: 1, order: "newest-first" })).toEqual(["a6"]);
      expect(await read({ from: to, to: from })).toEqual([]);
      // Without a subject the messages of others are in the range too.
      const everybody = await bus.streams.read(channel, { from, to, limit: 100, order: "newest-first" });
      expect(everybody).toHaveLength(to - from + 1);
      expect(everybody.map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: to - from + 1 }, (_, index) => to - index),
      );
      expect(await bus.streams.read(channel, { from, to, limit: 100 })).toEqual(everybody.reverse());
    });

    test("finds the last sequence of a subject and of a pattern", async () => {
      const tenant = fresh("t");
      expect(await bus.streams.lastSequence(channel, `call.${tenant}.*.*`)).toBe(0);
      for (const id of ["a", "b", "c"]) await store(tenant, "20260101", id);
      await store(tenant, "20260102", "d");
      const day = await readWanted(`call.${tenant}.20260101.*`, 0, 10, ["a", "b", "c"]);
      expect(await bus.streams.lastSequence(channel, `call.${tenant}.20260101.*`)).toBe(day[2]!.sequence);
      expect(await bus.streams.lastSequence(channel, `call.${tenant}.*.a`)).toBe(day[0]!.sequence);
      expect(await bus.streams.lastSequence(channel, `call.${tenant}.20260103.*`)).toBe(0);
    });

    test("returns an empty page after the last message", async () => {
      const tenant = fresh("t");
      for (const id of ["a", "b", "c"]) await store(tenant, "20260101", id);
      await store(fresh("t"), "20260101", "later");
      const page = await readWanted(`call.${tenant}.*.*`, 0, 3, ["a", "b", "c"]);
      expect(
        await bus.streams.read(channel, {
          subject: `call.${tenant}.*.*`,
          from: page[2]!.sequence + 1,
          limit: 3,
        }),
      ).toEqual([]);
      expect(
        await bus.streams.read(channel, { subject: `call.${tenant}.*.*`, from: 1e9 + 1, limit: 3 }),
      ).toEqual([]);
    });

    test("returns an empty page for unused subjects", async () => {
      expect(await bus.streams.read(channel, { subject: `call.${fresh("t")}.>`, limit: 10 })).toEqual([]);
      expect(await bus.streams.read(channel, { subject: "call.nobody.20260101.s", limit: 10 })).toEqual([]);
    });

    test("skips unreadable messages without shortening the page", async () => {
      const tenant = fresh("t");
      const careless: Channel<Pick<Note, "id">> = {
        ...channel,
        overflow: undefined,
        schema: Note.pick({ id: true }).loose(),
        subjectOf: ({ id }) => `call.${tenant}.d.${id}`,
        idOf: () => undefined,
      };
      for (const id of ["a", "x1", "x2", "x3", "b", "x4", "c"]) {
        const isPoison = id.startsWith("x");
        await bus.streams.publish(careless, isPoison ? { id } : { tenant, day: "d", id, text: id });
      }
      const page = await readWanted(`call.${tenant}.*.*`, 0, 2, ["a", "b"]);
      await readWanted(`call.${tenant}.*.*`, page[1]!.sequence, 2, ["c"]);
    });

    test("returns a replaced message once, at the end of the stream", async () => {
      const tenant = fresh("t");
      for (const id of ["a", "b", "c"]) await store(tenant, "20260101", id);
      const before = await readWanted(`call.${tenant}.>`, 0, 10, ["a", "b", "c"]);
      await store(tenant, "20260101", "a", "a again");
      await store(tenant, "20260101", "a", "a once more");
      expect(await messagesOn(bus, channel, `call.${tenant}.20260101.a`, 10)).toEqual([
        { tenant, day: "20260101", id: "a", text: "a once more" },
      ]);
      await readWanted(`call.${tenant}.>`, 0, 10, ["b", "c", "a once more"]);
      // The previous page ended with a message that is no longer stored.
      await readWanted(`call.${tenant}.>`, before[0]!.sequence, 1, ["b"]);
      await readWanted(`call.${tenant}.>`, before[2]!.sequence, 10, ["a once more"]);
    });

    test("returns one message of many concurrent writes to a subject", async () => {
      const tenant = fresh("t");
      const writers = await Promise.all(["v", "w"].map((name) => buses.connect(name)));
      const writes = Array.from({ length: 40 }, (_, index) =>
        writers[index % 2]!.streams.publish(channel, { tenant, day: "d", id: "s", text: `${index}` }),
      );
      for (const { duplicate } of await Promise.all(writes)) expect(duplicate).toBe(false);
      const page = await eventually(async () => {
        const found = await bus.streams.read(channel, { subject: `call.${tenant}.>`, limit: 50 });
        return found.length === 1 ? found : undefined;
      });
      expect(await messagesOn(bus, channel, `call.${tenant}.d.s`, 10)).toEqual([page[0]?.message]);
    });

    test("returns a page of several hundred messages", async () => {
      const tenant = fresh("t");
      const ids = Array.from({ length: 500 }, (_, index) => `s${String(index).padStart(3, "0")}`);
      for (let at = 0; at < ids.length; at += 50) {
        // Publishing one by one would take half a minute on three nodes.
        await Promise.all(ids.slice(at, at + 50).map((id) => store(tenant, "d", id)));
      }
      const page = await eventually(async () => {
        const found = await bus.streams.read(channel, { subject: `call.${tenant}.d.*`, limit: 500 });
        return found.length === 500 ? found : undefined;
      });
      expect(textsOf(page).sort()).toEqual(ids);
    });
  });
});
