// The event loop of sessions and tasks: cached records, lost races, turns, and the order of its steps.
import { describe, expect, test } from "vitest";
import type { Delivery } from "../../../../libs/bus/bus.ts";
import { type EventRules, handleEvent, type Versioned } from "../../../../libs/bus/event-loop.ts";
import type { Bucket } from "../../../../libs/contracts/buckets.ts";

interface Counter {
  readonly n: number;
}
type Event = "create" | "add" | "nothing";

const KEY = "counter";

/** A store with one key. `onUpdate` lets another writer in. */
function scene(stored?: Versioned<Counter>) {
  let present = stored;
  const steps: string[] = [];
  const hooks = { onUpdate: () => {} };
  const cached = new Map<string, Versioned<Counter>>();
  const write = (record: Counter) => {
    present = { record, revision: (present?.revision ?? 0) + 1 };
    return present.revision;
  };
  const rules: EventRules<Counter, Event> = {
    bus: {
      kv: {
        async get() {
          steps.push("read");
          return present === undefined
            ? undefined
            : { key: KEY, value: present.record, revision: present.revision };
        },
        async update(_bucket: unknown, record: Counter, revision: number) {
          hooks.onUpdate();
          const isCurrent = revision === (present?.revision ?? 0);
          steps.push(isCurrent ? `save ${record.n}` : "lose");
          return isCurrent ? write(record) : undefined;
        },
      },
    } as unknown as EventRules<Counter, Event>["bus"],
    bucket: {} as Bucket<Counter>,
    cache: {
      get: (key) => cached.get(key),
      set: (key, versioned) => cached.set(key, versioned),
      forget: (key) => cached.delete(key),
    },
    reduce(record, event) {
      if (event === "create") return record ?? { n: 0 };
      if (record === undefined || event === "nothing") return record;
      return { n: record.n + 1 };
    },
    isCreation: (event) => event === "create",
    withoutRecord: (_event, { deliveries }) => (deliveries > 2 ? "ack" : "nak"),
    stamp: (record) => ({ ...record }),
    async act(record) {
      steps.push(`act ${record.n}`);
      return record;
    },
  };
  const handle = (event: Event, changed: Partial<EventRules<Counter, Event>> = {}, deliveries = 1) =>
    handleEvent({ ...rules, ...changed }, KEY, event, { subject: "s", sequence: 1, deliveries } as Delivery);
  return { cached, handle, hooks, present: () => present, steps, write };
}

const version = (n: number, revision = 1): Versioned<Counter> => ({ record: { n }, revision });

describe("handleEvent", () => {
  test("reads, reduces, persists, acts and acks, in this order", async () => {
    const { handle, steps } = scene(version(4));
    expect(await handle("add")).toBe("ack");
    expect(steps).toEqual(["read", "save 5", "act 5"]);
  });

  test("acts on the record without an update when the event changes nothing", async () => {
    const { handle, steps } = scene(version(4));
    expect(await handle("nothing")).toBe("ack");
    expect(steps).toEqual(["read", "act 4"]);
  });

  test("creates a record without a read", async () => {
    const { handle, steps } = scene();
    expect(await handle("create")).toBe("ack");
    expect(steps).toEqual(["save 0", "act 0"]);
  });

  test("reads before it creates a record when the event was redelivered", async () => {
    const { handle, steps } = scene();
    expect(await handle("create", {}, 2)).toBe("ack");
    expect(steps).toEqual(["read", "save 0", "act 0"]);
  });

  test("begins with the cached record, and reads the record when the update loses its race", async () => {
    const { cached, handle, steps } = scene(version(7, 3));
    cached.set(KEY, version(1, 1));
    expect(await handle("add")).toBe("ack");
    expect(steps).toEqual(["lose", "read", "save 8", "act 8"]);
    expect(cached.get(KEY)).toEqual(version(8, 4));
  });

  test("reads the record before it concludes that an event changes nothing", async () => {
    const { cached, handle, steps } = scene(version(7));
    cached.set(KEY, version(7));
    expect(await handle("nothing")).toBe("ack");
    expect(steps).toEqual(["read", "act 7"]);
  });

  test("treats an event without a record by the given rule", async () => {
    const { handle, steps } = scene();
    expect(await handle("add")).toBe("nak");
    expect(await handle("add", {}, 3)).toBe("ack");
    expect(steps).toEqual(["read", "read"]);
  });

  test("naks an event after ten lost races, and never acts on it", async () => {
    const { handle, hooks, steps, write } = scene(version(0));
    hooks.onUpdate = () => void write({ n: 100 });
    expect(await handle("add")).toBe("nak");
    expect(steps.filter((step) => step === "lose")).toHaveLength(10);
    expect(steps.some((step) => step.startsWith("act"))).toBe(false);
  });

  test("persists what an action returns before the next action, until nothing changes", async () => {
    const { handle, steps } = scene(version(0));
    const act = async (record: Counter) => {
      steps.push(`act ${record.n}`);
      return record.n < 3 ? { n: record.n + 1 } : record;
    };
    expect(await handle("add", { act })).toBe("ack");
    expect(steps).toEqual(["read", "save 1", "act 1", "save 2", "act 2", "save 3", "act 3"]);
  });

  test("persists the plan of each turn, and releases it after the action or a failure", async () => {
    const { handle, hooks, present, steps, write } = scene(version(0));
    const plan = ({ n }: Counter, _event: Event, turn: number) => ({
      record: { n: n + 10 * (turn + 1) },
      release: () => void steps.push("release"),
    });
    expect(await handle("add", { plan })).toBe("ack");
    expect(steps).toEqual(["read", "save 11", "act 11", "release"]);
    steps.length = 0;
    hooks.onUpdate = () => {
      hooks.onUpdate = () => {};
      write({ n: 50 });
    };
    await handle("add", { plan });
    expect(steps).toEqual(["lose", "release", "read", "save 61", "act 61", "release"]);
    expect(present()?.record).toEqual({ n: 61 });
  });

  test("does not ack an event whose action fails", async () => {
    const { handle, present } = scene(version(0));
    const act = () => Promise.reject(new Error("no answer"));
    await expect(handle("add", { act })).rejects.toThrow("no answer");
    expect(present()?.record).toEqual({ n: 1 });
  });
});
