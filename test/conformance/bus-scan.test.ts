// Pages of stored messages on many subjects are the same in memory and on NATS, from any replica and from the leader.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bus, Stored } from "../../libs/bus/bus.ts";
import { type Channel, calls } from "../../libs/contracts/streams.ts";
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
/** One message a subject, on the stream of calls; of any replica, or of the leader alone. */
const channels: [string, Channel<Note>][] = [
  ["any replica", { ...calls, ...own }],
  ["the leader", { ...led, ...own }],
];

describe.each(kinds)("scanning on %s", (_kind, start) => {
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
      bus.publish(channel, { tenant, day, id, text });

    /** What a replica that is behind shows a little later. */
    const scan = async (subject: string, after: number, limit: number, wanted: readonly string[]) => {
      let page: Stored<Note>[] = [];
      await eventually(async () => {
        page = await bus.scan(channel, { subject, after, limit });
        return JSON.stringify(textsOf(page)) === JSON.stringify(wanted);
      }).catch(() => expect(textsOf(page)).toEqual(wanted));
      return page;
    };

    test("a tenant's day is read oldest first, a page at a time, to its end", async () => {
      const [tenant, other] = [fresh("t"), fresh("t")];
      for (let n = 1; n <= 7; n++) {
        await store(tenant, "20260101", `a${n}`);
        await store(tenant, "20260102", `b${n}`);
        await store(other, "20260101", `c${n}`);
      }
      const day = `call.${tenant}.20260101.*`;
      const first = await scan(day, 0, 3, ["a1", "a2", "a3"]);
      const second = await scan(day, first[2]!.sequence, 3, ["a4", "a5", "a6"]);
      await scan(day, second[2]!.sequence, 3, ["a7"]);
      const whole = await scan(day, 0, 1000, ["a1", "a2", "a3", "a4", "a5", "a6", "a7"]);
      expect(whole[0]?.message).toEqual({ tenant, day: "20260101", id: "a1", text: "a1" });
      const sequences = whole.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
      await scan(`call.${tenant}.>`, 0, 4, ["a1", "b1", "a2", "b2"]);
      await scan(`call.${other}.20260101.c5`, 0, 4, ["c5"]);
    });

    test("the place of the newest is known, of one subject and of many", async () => {
      const tenant = fresh("t");
      expect(await bus.lastSequence(channel, `call.${tenant}.*.*`)).toBe(0);
      for (const id of ["a", "b", "c"]) await store(tenant, "20260101", id);
      await store(tenant, "20260102", "d");
      const day = await scan(`call.${tenant}.20260101.*`, 0, 10, ["a", "b", "c"]);
      expect(await bus.lastSequence(channel, `call.${tenant}.20260101.*`)).toBe(day[2]!.sequence);
      expect(await bus.lastSequence(channel, `call.${tenant}.*.a`)).toBe(day[0]!.sequence);
      expect(await bus.lastSequence(channel, `call.${tenant}.20260103.*`)).toBe(0);
    });

    test("a page that ends with the last message is followed by an empty one", async () => {
      const tenant = fresh("t");
      for (const id of ["a", "b", "c"]) await store(tenant, "20260101", id);
      await store(fresh("t"), "20260101", "later");
      const page = await scan(`call.${tenant}.*.*`, 0, 3, ["a", "b", "c"]);
      expect(
        await bus.scan(channel, { subject: `call.${tenant}.*.*`, after: page[2]!.sequence, limit: 3 }),
      ).toEqual([]);
      expect(await bus.scan(channel, { subject: `call.${tenant}.*.*`, after: 1e9, limit: 3 })).toEqual([]);
    });

    test("subjects that nobody wrote on have an empty page", async () => {
      expect(await bus.scan(channel, { subject: `call.${fresh("t")}.>`, limit: 10 })).toEqual([]);
      expect(await bus.scan(channel, { subject: "call.nobody.20260101.s", limit: 10 })).toEqual([]);
    });

    test("what nobody can read takes no place in a page", async () => {
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
        await bus.publish(careless, isPoison ? { id } : { tenant, day: "d", id, text: id });
      }
      const page = await scan(`call.${tenant}.*.*`, 0, 2, ["a", "b"]);
      await scan(`call.${tenant}.*.*`, page[1]!.sequence, 2, ["c"]);
    });

    test("a message replaces the one before it on its subject, and moves to the end", async () => {
      const tenant = fresh("t");
      for (const id of ["a", "b", "c"]) await store(tenant, "20260101", id);
      const before = await scan(`call.${tenant}.>`, 0, 10, ["a", "b", "c"]);
      await store(tenant, "20260101", "a", "a again");
      await store(tenant, "20260101", "a", "a once more");
      expect(await bus.recent(channel, `call.${tenant}.20260101.a`, 10)).toEqual([
        { tenant, day: "20260101", id: "a", text: "a once more" },
      ]);
      await scan(`call.${tenant}.>`, 0, 10, ["b", "c", "a once more"]);
      // The page before ended with a message that isn't there any more.
      await scan(`call.${tenant}.>`, before[0]!.sequence, 1, ["b"]);
      await scan(`call.${tenant}.>`, before[2]!.sequence, 10, ["a once more"]);
    });

    test("of many who write on one subject at once, one stands there", async () => {
      const tenant = fresh("t");
      const writers = await Promise.all(["v", "w"].map((name) => buses.connect(name)));
      const writes = Array.from({ length: 40 }, (_, index) =>
        writers[index % 2]!.publish(channel, { tenant, day: "d", id: "s", text: `${index}` }),
      );
      for (const { duplicate } of await Promise.all(writes)) expect(duplicate).toBe(false);
      const page = await eventually(async () => {
        const found = await bus.scan(channel, { subject: `call.${tenant}.>`, limit: 50 });
        return found.length === 1 ? found : undefined;
      });
      expect(await bus.recent(channel, `call.${tenant}.d.s`, 10)).toEqual([page[0]?.message]);
    });

    test("a page may be long", async () => {
      const tenant = fresh("t");
      const ids = Array.from({ length: 500 }, (_, index) => `s${String(index).padStart(3, "0")}`);
      for (let at = 0; at < ids.length; at += 50) {
        // One after the other would take half a minute of three nodes.
        await Promise.all(ids.slice(at, at + 50).map((id) => store(tenant, "d", id)));
      }
      const page = await eventually(async () => {
        const found = await bus.scan(channel, { subject: `call.${tenant}.d.*`, limit: 500 });
        return found.length === 500 ? found : undefined;
      });
      expect(textsOf(page).sort()).toEqual(ids);
    });
  });
});
