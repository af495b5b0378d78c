// A bus for one part of a process, and its work when the part is cut off.
import { describe, expect, test } from "vitest";
import { scopedBus } from "../../../../libs/bus/scoped-bus.ts";
import { pools, sessions } from "../../../../libs/contracts/buckets.ts";
import { pingCommand, serviceHeartbeats, sessionEvents } from "../../../../libs/contracts/streams.ts";
import { anEvent, aPool, aSession } from "../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../kit/worlds/memory-world.ts";

const enter = { run: <R>(work: () => R): R => work(), runGuarded: (work: () => void) => work() };
const heartbeat = { service: "calls" as const, instance: "c", pid: 1, status: "running" as const };

describe("scopedBus", () => {
  test("passes calls, answers and errors until it is closed", async () => {
    const { connect, outcome } = world();
    const { bus } = scopedBus(connect("part"), enter);
    const revision = await outcome(bus.kv.update(pools, aPool("echo"), 0));
    expect((await outcome(bus.kv.get(pools, "echo")))?.revision).toBe(revision);
    expect(await outcome(bus.kv.update(pools, aPool("echo", 2), 0))).toBeUndefined();
    await expect(outcome(bus.core.request(pingCommand, "nobody", {}))).rejects.toThrow();
  });

  test("answers no call after it is closed, not even one that is under way", async () => {
    const { clock, server, connect } = world();
    const { bus, close } = scopedBus(connect("part"), enter);
    const settled: string[] = [];
    const note = (name: string, call: Promise<unknown>) =>
      call.then(
        () => settled.push(name),
        () => settled.push(name),
      );
    note("under way", bus.kv.update(pools, aPool("echo"), 0));
    close();
    note("later", bus.streams.publish(sessionEvents, anEvent("s")));
    bus.core.publishTransient(serviceHeartbeats, heartbeat);
    await clock.advance(MINUTE_MS);
    expect(settled).toEqual([]);
    expect(bus.isConnected()).toBe(false);
    expect(server.stored(sessionEvents)).toEqual([]);
  });

  test("stops its watches and subscriptions when it is closed, and leaves those of others alone", async () => {
    const { clock, connect, outcome } = world();
    const client = connect("process");
    const received: string[] = [];
    const subscribe = async (name: string, bus: typeof client) => {
      await bus.kv.watch(sessions, ({ key }) => received.push(`${name} ${key}`));
      await bus.core.subscribe(serviceHeartbeats, ({ instance }) => received.push(`${name} ${instance}`));
    };
    const scoped = scopedBus(client, enter);
    await outcome(
      Promise.all([subscribe("part", scoped.bus as typeof client), subscribe("process", client)]),
    );
    scoped.close();
    await outcome(client.kv.update(sessions, aSession("s"), 0));
    client.core.publishTransient(serviceHeartbeats, heartbeat);
    await clock.advance(1000);
    expect(received.sort()).toEqual(["process c", "process t.s"]);
  });

  test("gives a message back whose handler never answers, so that another consumer handles it", async () => {
    const { clock, connect, outcome } = world();
    const client = connect("process");
    const scoped = scopedBus(client, enter);
    const handled: string[] = [];
    const options = { durable: "test", description: "a test", concurrency: 1 };
    await outcome(
      scoped.bus.streams.consume(sessionEvents, options, async () => {
        handled.push("hangs");
        return await new Promise<never>(() => {});
      }),
    );
    await outcome(client.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(MINUTE_MS);
    expect(handled).toEqual(["hangs"]);
    scoped.close();
    await outcome(
      client.streams.consume(sessionEvents, options, async () => {
        handled.push("done");
        return "ack";
      }),
    );
    await clock.advance(MINUTE_MS);
    expect(handled).toEqual(["hangs", "done"]);
  });

  test("refuses a request that it was executing when it was closed", async () => {
    const { clock, connect, outcome } = world();
    const scoped = scopedBus(connect("process"), enter);
    await outcome(scoped.bus.core.serve(pingCommand, "h", () => new Promise<never>(() => {})));
    const request = connect("other").core.request(pingCommand, "h", {});
    request.catch(() => {});
    await clock.advance(50);
    scoped.close();
    await expect(outcome(request)).rejects.toThrow("has stopped");
  });
});
