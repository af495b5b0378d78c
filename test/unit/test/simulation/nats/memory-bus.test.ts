// Faults of the in-memory bus as the processes see them, in simulated time.
import { describe, expect, test } from "vitest";
import { pools } from "../../../../../libs/contracts/buckets.ts";
import type { PoolTarget } from "../../../../../libs/contracts/fleet/pool.ts";
import { hostChanges, pingCommand, sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { aHost, anEvent, aPool } from "../../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../../kit/worlds/memory-world.ts";
import type { Faults } from "../../../../simulation/nats/faults.ts";
import { subjectMatches } from "../../../../simulation/nats/streams.ts";

const options = { durable: "workers", description: "a test", concurrency: 4 };
const ping = async () => ({ hostId: "h", epoch: 1, sequence: 1 });

describe("faults of network and store", () => {
  test("repeats a message although its ack arrived", async () => {
    const { clock, server, connect, outcome } = world({ repeat: 1 });
    const bus = connect("bus");
    const seen: number[] = [];
    await outcome(
      bus.streams.consume(sessionEvents, options, async (_event, { deliveries }) => {
        seen.push(deliveries);
        return "ack";
      }),
    );
    await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(1);
    expect(server.backlog(sessionEvents, options.durable)).toEqual({ pending: 0, unacked: 0 });
    server.calm();
    await clock.advance(MINUTE_MS);
    expect(seen).toEqual([1, 2]);
    expect(server.backlog(sessionEvents, options.durable)).toEqual({ pending: 0, unacked: 0 });
  });

  test("redelivers a message after the ack wait when its ack was lost", async () => {
    const { clock, server, connect, outcome } = world({ loseAck: 1 });
    const bus = connect("bus");
    const seen: string[] = [];
    await outcome(
      bus.streams.consume(sessionEvents, options, async (_event, { deliveries }) => {
        seen.push(`${deliveries} at ${clock.monotonic()}`);
        return "ack";
      }),
    );
    await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(1000);
    server.calm();
    await clock.advance(MINUTE_MS);
    expect(seen).toEqual(["1 at 0", "2 at 5000"]);
  });

  test("returns a revision, or an ambiguous error, when an update's answer is lost", async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const { clock, server, connect, outcome } = world({ ambiguous: 1 }, seed);
      const bus = connect("bus");
      const answer = await outcome(bus.kv.update(pools, aPool("echo"), 0)).catch((error) => error.code);
      const writtenAtFirst = server.written(pools).length;
      await clock.advance(MINUTE_MS);
      outcomes.add(`${answer}: ${writtenAtFirst}, then ${server.written(pools).length}`);
    }
    expect([...outcomes].sort()).toEqual([
      "1: 1, then 1",
      "storage_unavailable: 0, then 0",
      "storage_unavailable: 0, then 1",
    ]);
  });

  test("stores a retried publish once", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { clock, server, connect, outcome } = world({ ambiguous: 1 }, seed);
      const bus = connect("bus");
      await expect(outcome(bus.streams.publish(sessionEvents, anEvent("s")))).rejects.toMatchObject({
        code: "storage_unavailable",
      });
      server.calm();
      await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
      await clock.advance(MINUTE_MS);
      expect(server.stored(sessionEvents)).toHaveLength(1);
    }
  });

  test("stores the same message again after the deduplication window of ten minutes", async () => {
    const { clock, connect, outcome } = world();
    const bus = connect("bus");
    await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(9 * MINUTE_MS);
    expect(await outcome(bus.streams.publish(sessionEvents, anEvent("s")))).toEqual({ duplicate: true });
    await clock.advance(2 * MINUTE_MS);
    expect(await outcome(bus.streams.publish(sessionEvents, anEvent("s")))).toEqual({ duplicate: false });
  });

  test("changes nothing when the store refuses, and still updates when it is full", async () => {
    const { server, connect, outcome } = world();
    const bus = connect("bus");
    const revision = (await outcome(bus.kv.update(pools, aPool("old"), 0))) ?? 0;
    server.setFaults({ refuse: 1 });
    const refused = { code: "storage_unavailable" };
    await expect(outcome(bus.kv.update(pools, aPool("old", 9), revision))).rejects.toMatchObject(refused);
    await expect(outcome(bus.kv.get(pools, "old"))).rejects.toMatchObject(refused);
    server.setFaults({ refuse: 0, full: true });
    expect((await outcome(bus.kv.get(pools, "old")))?.value.min).toBe(aPool("old").min);
    expect(await outcome(bus.kv.update(pools, aPool("old", 3), revision))).toBe(revision + 1);
    const full = { code: "storage_full" };
    await expect(outcome(bus.kv.update(pools, aPool("new"), 0))).rejects.toMatchObject(full);
    await expect(outcome(bus.streams.publish(sessionEvents, anEvent("s")))).rejects.toMatchObject(full);
  });

  test("answers with a timeout when a request or answer is dropped, and loses dropped transient messages", async () => {
    const { clock, connect, outcome } = world({ drop: 1 });
    const [bus, other] = [connect("bus"), connect("other")];
    const received: string[] = [];
    await outcome(other.core.serve(pingCommand, "h", ping));
    await outcome(other.core.subscribe(hostChanges, (host) => received.push(host.hostId)));
    await expect(outcome(bus.core.request(pingCommand, "h", {}))).rejects.toMatchObject({ code: "timeout" });
    bus.core.publishTransient(hostChanges, aHost("h"));
    await clock.advance(1000);
    expect(received).toEqual([]);
  });

  test("lets transient messages overtake each other", async () => {
    const { clock, connect, outcome } = world({ hopMs: [1, 20] });
    const [bus, other] = [connect("bus"), connect("other")];
    const received: number[] = [];
    await outcome(other.core.subscribe(hostChanges, ({ sequence }) => received.push(sequence)));
    await clock.advance(100);
    for (let sequence = 1; sequence <= 30; sequence++)
      bus.core.publishTransient(hostChanges, aHost("h", sequence));
    await clock.advance(1000);
    expect([...received].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    expect(received).not.toEqual([...received].sort((a, b) => a - b));
  });

  test("delays a stale watcher and skips values, but ends with the newest, never going back", async () => {
    const { clock, connect, outcome } = world({ hopMs: [1, 5], stale: 0.5, staleMs: 2000, skip: 0.5 });
    const [bus, other] = [connect("bus"), connect("other")];
    const seen: (PoolTarget | undefined)[] = [];
    await outcome(other.kv.watch(pools, ({ value }) => seen.push(value)));
    let revision = 0;
    for (let min = 1; min <= 50; min++) {
      revision = (await outcome(bus.kv.update(pools, aPool("echo", min), revision))) ?? -1;
    }
    await clock.advance(10_000);
    const values = seen.map((target) => target?.min ?? 0);
    expect(values.at(-1)).toBe(50);
    expect(values.length).toBeLessThan(50);
    expect(values).toEqual([...values].sort((a, b) => a - b));
  });
});

test("repeats a run with the same seed, and gives another run with another seed", async () => {
  const run = async (seed: number) => {
    const faults: Partial<Faults> = {
      hopMs: [0, 30],
      slow: 0.1,
      slowMs: 500,
      drop: 0.1,
      repeat: 0.1,
      loseAck: 0.1,
      ambiguous: 0.1,
      refuse: 0.05,
      stale: 0.3,
      staleMs: 1000,
      skip: 0.3,
    };
    const { clock, server, connect } = world(faults, seed);
    const log: string[] = [];
    const note = (line: string) => log.push(`${clock.monotonic().toFixed(3)} ${line}`);
    for (const name of ["a", "b", "c"]) {
      const bus = connect(name);
      void bus.kv
        .watch(pools, ({ key, revision }) => note(`${name} saw ${key} at ${revision}`))
        .catch(() => note(`${name} can't watch`));
      void bus.streams
        .consume(sessionEvents, options, async (event, { deliveries }) => {
          note(`${name} has ${event.sessionId} for the ${deliveries}. time`);
          const entry = await bus.kv.get(pools, "echo");
          const saved = await bus.kv.update(
            pools,
            aPool("echo", (entry?.value.min ?? 0) + 1),
            entry?.revision ?? 0,
          );
          return saved === undefined ? "nak" : "ack";
        })
        .catch(() => note(`${name} can't consume`));
      for (let index = 0; index < 10; index++) {
        void bus.streams
          .publish(sessionEvents, anEvent(`${name}${index}`))
          .catch(() => note(`${name}${index} failed`));
      }
    }
    await clock.advance(5000);
    server.calm();
    await clock.advance(5 * MINUTE_MS);
    expect(server.backlog(sessionEvents, options.durable)).toEqual({ pending: 0, unacked: 0 });
    return log;
  };
  const first = await run(11);
  expect(first.length).toBeGreaterThan(50);
  expect(await run(11)).toEqual(first);
  expect(await run(12)).not.toEqual(first);
});

test("matches subjects like NATS", () => {
  const yes = [
    ["a.b", "a.b"],
    ["a.*", "a.b"],
    ["a.>", "a.b.c"],
    [">", "a"],
    ["*.b.*", "a.b.c"],
  ] as const;
  const no = [
    ["a.b", "a"],
    ["a", "a.b"],
    ["a.*", "a.b.c"],
    ["a.>", "a"],
    ["a.*", "a"],
    ["*.x.*", "a.b.c"],
  ] as const;
  for (const [pattern, subject] of yes)
    expect([pattern, subjectMatches(pattern, subject)]).toEqual([pattern, true]);
  for (const [pattern, subject] of no)
    expect([pattern, subjectMatches(pattern, subject)]).toEqual([pattern, false]);
});
