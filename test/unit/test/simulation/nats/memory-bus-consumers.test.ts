// Consumers of a bucket on the in-memory server: what they must see, and what they may miss.
import { describe, expect, test } from "vitest";
import type { Ack, Bus, Change } from "../../../../../libs/bus/bus.ts";
import { hosts, pools, sessions } from "../../../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../../../libs/contracts/fleet/host.ts";
import { pingCommand } from "../../../../../libs/contracts/streams.ts";
import { sleep } from "../../../../../libs/runtime/clock.ts";
import { aHost, aPool, aSession } from "../../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../../kit/worlds/memory-world.ts";
import type { Faults } from "../../../../simulation/nats/faults.ts";

const options = { durable: "followers", description: "a test", concurrency: 2 };

const roughFaults: Partial<Faults> = {
  hopMs: [1, 40],
  slow: 0.1,
  slowMs: 2000,
  repeat: 0.2,
  loseAck: 0.2,
  refuse: 0.1,
  ambiguous: 0.1,
  inFlightMs: [1, 30],
};

/** Saves until the value is certainly stored. */
async function saveUntilStored(bus: Bus, sequence: number, id: string): Promise<void> {
  for (;;) {
    const stored = await bus.kv.get(hosts, id).catch(() => undefined);
    if (stored?.value.sequence === sequence) return;
    await bus.kv.update(hosts, aHost(id, sequence), stored?.revision ?? 0).catch(() => undefined);
  }
}

describe.each([1, 3] as const)("a consumer on %i replicas", (replicas) => {
  test.each(Array.from({ length: 20 }, (_, index) => index + 1))(
    "sees the last value of every key, despite lost acks, repeats and crashes (seed %i)",
    async (seed) => {
      const { clock, server, connect, outcome } = world(roughFaults, seed, replicas);
      const done = new Map<string, number>();
      const follow = (name: string) => {
        const client = connect(name);
        const note = async ({ key, value }: Change<HostRecord>): Promise<Ack> => {
          await sleep(clock, 300);
          // Nobody sees the work of a dead process.
          if (client.isConnected()) done.set(key, Math.max(done.get(key) ?? 0, value?.sequence ?? 0));
          return "ack";
        };
        const begin = (): Promise<unknown> => client.kv.consume(hosts, options, note).catch(begin);
        void begin();
        return client;
      };
      const doomed = [follow("doomed-1"), follow("doomed-2")];
      follow("survivor");
      const writer = connect("writer");
      const ids = ["a", "b", "c", "d", "e"];
      for (let sequence = 1; sequence <= 6; sequence++) {
        for (const id of ids) await outcome(saveUntilStored(writer, sequence, id));
        if (sequence === 3) doomed[0]?.crash();
        if (sequence === 4) server.loseLeaders();
        await clock.advance(700);
        if (sequence === 4) server.lead();
      }
      doomed[1]?.crash();
      server.calm();
      await clock.advance(2 * MINUTE_MS);
      expect(Object.fromEntries(done)).toEqual(Object.fromEntries(ids.map((id) => [id, 6])));
      expect(server.faultCounts().get("loseAck")).toBeGreaterThan(0);
      expect(server.faultCounts().get("repeat")).toBeGreaterThan(0);
    },
  );
});

test("sees a deletion in time, but not after an absence longer than the delete marker lives", async () => {
  const { clock, connect, outcome } = world();
  const writer = connect("writer");
  const seen: string[] = [];
  const follow = (name: string) => {
    const client = connect(name);
    const note = async ({ key, value }: Change<unknown>) => {
      seen.push(`${name} ${key} ${value === undefined ? "gone" : "there"}`);
      return "ack" as const;
    };
    return {
      client,
      following: client.kv.consume(pools, { durable: "d", description: "a test", concurrency: 1 }, note),
    };
  };
  const first = follow("first");
  await outcome(first.following);
  for (const profile of ["a", "b", "c"]) await outcome(writer.kv.update(pools, aPool(profile, 1), 0));
  await outcome(writer.kv.delete(pools, "a", 1));
  await clock.advance(1000);
  expect(seen).toEqual(["first a there", "first b there", "first c there", "first a gone"]);

  first.client.crash();
  seen.length = 0;
  await outcome(writer.kv.delete(pools, "b", 2));
  await clock.advance(MINUTE_MS);
  await outcome(writer.kv.delete(pools, "c", 3));
  await clock.advance(MINUTE_MS + 1000);
  await outcome(follow("second").following);
  await clock.advance(1000);
  expect(seen).toEqual(["second c gone"]);
});

test("deletes a part in an interrupted purge, and the rest in the next", async () => {
  const { connect, outcome, server } = world({ refuse: 0.3 }, 3);
  const bus = connect("eraser");
  const save = (id: string) =>
    bus.kv.update(sessions, aSession(id, { tenant: "t" }), 0).catch(() => undefined);
  for (let n = 0; n < 30; n++) await outcome(save(`s${n}`));
  const before = server.entries(sessions).length;
  expect(before).toBeGreaterThan(10);
  await expect(outcome(bus.admin.purge(sessions, "t.>"))).rejects.toMatchObject({
    code: "storage_unavailable",
  });
  const left = server.entries(sessions).length;
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(before);
  server.calm();
  expect(await outcome(bus.admin.purge(sessions, "t.>"))).toBe(left);
  expect(server.entries(sessions)).toEqual([]);
});

test("requests from a hanging member of a queue group until it is given up, then from the others alone", async () => {
  const { clock, connect, outcome } = world();
  const [hung, well, asker] = [connect("hung"), connect("well"), connect("asker")];
  for (const one of [hung, well]) {
    await outcome(
      one.core.serve(pingCommand, "h", async () => ({ hostId: one.name, epoch: 1, sequence: 1 }), {
        queue: "q",
      }),
    );
  }
  await clock.advance(10);
  hung.pause();
  const request = () =>
    outcome(asker.core.request(pingCommand, "h", {})).then(
      ({ hostId: id }) => id,
      ({ code }) => code,
    );
  const early = new Set<string>();
  for (let n = 0; n < 20; n++) early.add(await request());
  expect(early).toEqual(new Set(["well", "timeout"]));
  await clock.advance(20_000);
  for (let n = 0; n < 20; n++) expect(await request()).toBe("well");
});
