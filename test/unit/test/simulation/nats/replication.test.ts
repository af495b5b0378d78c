// The in-memory bus as one server and as three: failed compare-and-sets, and elections.
import { describe, expect, test } from "vitest";
import { pools } from "../../../../../libs/contracts/buckets.ts";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { anEvent, aPool } from "../../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../../kit/worlds/memory-world.ts";

const slowly = { inFlightMs: [50, 50] } as const;

describe("an in-memory bus on three replicas", () => {
  test("rejects a write while another is in flight", async () => {
    const { server, connect, outcome } = world(slowly, 1, 3);
    const [one, two] = [connect("one"), connect("two")];
    const both = Promise.all([
      one.kv.update(pools, aPool("echo", 1), 0),
      two.kv.update(pools, aPool("echo", 2), 0),
    ]);
    expect(await outcome(both)).toEqual([1, undefined]);
    expect(server.faultCounts().get("refused for a write in flight")).toBe(1);
    expect(server.entries(pools).map(({ value }) => value.min)).toEqual([1]);
  });

  test("accepts a retry after the write in flight was lost", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { clock, server, connect, outcome } = world(slowly, seed, 3);
      const [one, two] = [connect("one"), connect("two")];
      const first = one.kv.update(pools, aPool("echo", 1), 0).catch((error) => error.code);
      expect(await outcome(two.kv.update(pools, aPool("echo", 2), 0))).toBeUndefined();
      server.loseLeaders();
      server.lead();
      const kept = server.entries(pools).length;
      expect(await outcome(first)).toBe(kept === 1 ? 1 : "storage_unavailable");
      expect(await outcome(two.kv.update(pools, aPool("echo", 3), kept))).toBe(kept + 1);
      await clock.advance(MINUTE_MS);
      expect(server.written(pools)).toHaveLength(kept + 1);
    }
  });

  test("keeps acknowledged data in an election, and delays calls until its end", async () => {
    const { clock, server, connect, outcome } = world(slowly, 2, 3);
    const bus = connect("bus");
    expect(await outcome(bus.kv.update(pools, aPool("echo", 1), 0))).toBe(1);
    await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
    server.loseLeaders();
    const read = bus.kv.get(pools, "echo");
    await clock.advance(4000);
    server.lead();
    expect((await outcome(read))?.value.min).toBe(1);
    expect(server.stored(sessionEvents)).toHaveLength(1);
  });

  test("stores a message once that is published twice at the same time", async () => {
    const { server, connect, outcome } = world(slowly, 3, 3);
    const [one, two] = [connect("one"), connect("two")];
    const event = anEvent("s");
    const both = Promise.all([
      one.streams.publish(sessionEvents, event),
      two.streams.publish(sessionEvents, event),
    ]);
    expect(await outcome(both)).toEqual([{ duplicate: false }, { duplicate: true }]);
    expect(server.faultCounts().get("refused for a message in flight")).toBe(1);
    expect(server.stored(sessionEvents)).toHaveLength(1);
  });
});

describe.each([1, 3] as const)("an in-memory bus on %i replicas", (replicas) => {
  test("accepts a resent write although its first answer was lost", async () => {
    const { server, connect, outcome } = world({ resend: 1 }, 4, replicas);
    const bus = connect("bus");
    expect(await outcome(bus.kv.update(pools, aPool("echo", 1), 0))).toBe(1);
    expect(await outcome(bus.kv.update(pools, aPool("echo", 2), 1))).toBe(2);
    expect(server.written(pools)).toHaveLength(2);
    expect(server.faultCounts().get("lost compare-and-set") ?? 0).toBe(replicas === 1 ? 2 : 0);
  });

  test("rejects a write on an old revision", async () => {
    const { connect, outcome } = world({}, 5, replicas);
    const bus = connect("bus");
    expect(await outcome(bus.kv.update(pools, aPool("echo", 1), 0))).toBe(1);
    expect(await outcome(bus.kv.update(pools, aPool("echo", 2), 0))).toBeUndefined();
    expect(await outcome(bus.kv.delete(pools, "echo", 7))).toBe(false);
    expect(await outcome(bus.kv.delete(pools, "echo", 1))).toBe(true);
    expect(await outcome(bus.kv.update(pools, aPool("echo", 3), 0))).toBe(3);
  });
});
