// A bus on which several parts of a process share their watches and subscriptions.
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, test } from "vitest";
import type { Bus, Change } from "../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../libs/bus/override-bus.ts";
import { sharedBus } from "../../../../libs/bus/shared-bus.ts";
import { pools, sessions } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { serviceHeartbeats } from "../../../../libs/contracts/streams.ts";
import { aPool, aSession } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

function start() {
  const { clock, connect, outcome } = world();
  const client = connect("process");
  const opened: string[] = [];
  const context = new AsyncLocalStorage<string>();
  const counted = overrideBus(client, {
    kv: {
      watch(bucket, handle) {
        opened.push(`${bucket.name} ${context.getStore() ?? ""}`.trim());
        return client.kv.watch(bucket, handle);
      },
    },
    core: {
      subscribe(topic, handle) {
        opened.push(topic.subject);
        return client.core.subscribe(topic, handle);
      },
    },
  });
  const save = (bus: Bus, id: string, revision = 0) =>
    outcome(bus.kv.update(sessions, aSession(id), revision));
  return { clock, outcome, client, bus: sharedBus(counted), opened, context, save };
}

const heartbeat = { service: "calls" as const, instance: "c", pid: 1, status: "running" as const };

describe("sharedBus", () => {
  test("opens one watch of a bucket for all, and gives each every entry and change", async () => {
    const { clock, outcome, client, bus, opened, save } = start();
    await save(client, "early");
    const seen: string[][] = [[], [], []];
    const watch = (index: number) =>
      outcome(bus.kv.watch(sessions, ({ key, revision }) => seen[index]!.push(`${key} ${revision}`)));
    await Promise.all([watch(0), watch(1)]);
    const revision = await save(client, "later");
    await clock.advance(100);
    await watch(2);
    await save(client, "later", revision);
    await clock.advance(100);
    for (const one of seen.slice(0, 2)) expect(one).toEqual(["t.early 1", "t.later 2", "t.later 3"]);
    expect(seen[2]).toEqual(["t.early 1", "t.later 2", "t.later 3"]);
    expect(opened).toEqual(["sessions"]);
  });

  test("delivers a message to all subscribers although the first one throws", async () => {
    const { clock, outcome, client, bus } = start();
    const seen: string[] = [];
    await outcome(
      bus.core.subscribe(serviceHeartbeats, () => {
        throw new Error("a bug of one role");
      }),
    );
    await outcome(bus.core.subscribe(serviceHeartbeats, ({ instance }) => seen.push(instance)));
    client.core.publishTransient(serviceHeartbeats, heartbeat);
    await clock.advance(100);
    expect(seen).toEqual(["c"]);
  });

  test("gives a late watcher no deleted key", async () => {
    const { clock, outcome, client, bus, save } = start();
    await outcome(bus.kv.watch(sessions, () => {}));
    const revision = await save(client, "gone");
    await outcome(client.kv.delete(sessions, "t.gone", revision ?? 0));
    await clock.advance(100);
    const seen: string[] = [];
    await outcome(bus.kv.watch(sessions, ({ key }) => seen.push(key)));
    expect(seen).toEqual([]);
  });

  test("closes a watch with its last user, and opens another one later", async () => {
    const { clock, outcome, client, bus, opened, save } = start();
    const seen: string[] = [];
    const stops = await Promise.all(
      ["a", "b"].map((name) => outcome(bus.kv.watch(sessions, ({ key }) => seen.push(`${name} ${key}`)))),
    );
    await stops[0]?.();
    await save(client, "s");
    await clock.advance(100);
    await stops[1]?.();
    await save(client, "unseen");
    await clock.advance(100);
    expect(seen).toEqual(["b t.s"]);
    await outcome(bus.kv.watch(sessions, ({ key }) => seen.push(`c ${key}`)));
    expect(seen.slice(1).sort()).toEqual(["c t.s", "c t.unseen"]);
    expect(opened).toEqual(["sessions", "sessions"]);
  });

  test("opens one subscription to a topic for all", async () => {
    const { clock, outcome, client, bus, opened } = start();
    const received: string[] = [];
    for (const name of ["a", "b"])
      await outcome(
        bus.core.subscribe(serviceHeartbeats, ({ instance }) => received.push(`${name} ${instance}`)),
      );
    client.core.publishTransient(serviceHeartbeats, heartbeat);
    await clock.advance(100);
    expect(received).toEqual(["a c", "b c"]);
    expect(opened).toEqual(["services.heartbeat"]);
  });

  test("freezes the records that its users share", async () => {
    const { clock, outcome, client, bus, save } = start();
    const seen: Change<SessionRecord>[] = [];
    await outcome(bus.kv.watch(sessions, (change) => seen.push(change)));
    await save(client, "s");
    await clock.advance(100);
    expect(Object.isFrozen(seen[0]?.value)).toBe(true);
  });

  test("opens a watch outside of the context of its first user", async () => {
    const { outcome, bus, opened, context } = start();
    await context.run("role", () => outcome(bus.kv.watch(pools, () => {})));
    expect(opened).toEqual(["pools"]);
  });

  test("rejects all who wait for a watch that can't be opened, and retries for the next", async () => {
    const { outcome, client, clock } = start();
    let tries = 0;
    const failing = overrideBus(client, {
      kv: {
        watch(bucket, handle) {
          tries += 1;
          return tries === 1 ? Promise.reject(new Error("no leader")) : client.kv.watch(bucket, handle);
        },
      },
    });
    const bus = sharedBus(failing);
    const both = await outcome(
      Promise.allSettled([bus.kv.watch(pools, () => {}), bus.kv.watch(pools, () => {})]),
    );
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const seen: string[] = [];
    await outcome(bus.kv.watch(pools, ({ key }) => seen.push(key)));
    await outcome(client.kv.update(pools, aPool("echo"), 0));
    await clock.advance(100);
    expect(seen).toEqual(["echo"]);
  });
});
