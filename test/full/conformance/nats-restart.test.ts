// A killed and restarted NATS server: publishing, consuming, watching and core messages continue.
import { afterEach, describe, expect, test } from "vitest";
import { hosts } from "../../../libs/contracts/buckets.ts";
import { hostChanges, pingCommand } from "../../../libs/contracts/streams.ts";
import { connectTo, eventsOf, eventually, fresh, requested } from "../../conformance/buses.ts";
import { aHost } from "../../kit/fixtures/sessions.ts";
import { startNats } from "../../kit/servers/servers.ts";

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const RECOVERY_MS = 20_000;

describe("bus after a restart of NATS", () => {
  test("resumes all operations by itself after a kill -9", async () => {
    const nats = await startNats({ syncInterval: "always" });
    cleanUps.push(() => nats.stop());
    const bus = await connectTo(nats.url, "one");
    cleanUps.push(() => bus.close());
    const other = await connectTo(nats.url, "two");
    cleanUps.push(() => other.close());

    const tenant = fresh("t");
    const channel = eventsOf(tenant);
    const handled: string[] = [];
    await other.streams.consume(
      channel,
      { durable: fresh("d"), description: "a test", concurrency: 4 },
      async (event) => {
        handled.push(event.sessionId);
        return "ack";
      },
    );
    const watched = new Map<string, number>();
    await other.kv.watch(hosts, ({ key, value }) => {
      if (value === undefined) watched.delete(key);
      else watched.set(key, value.sequence);
    });
    const received: number[] = [];
    await other.core.subscribe(hostChanges, ({ sequence }) => received.push(sequence));
    await other.core.serve(pingCommand, "h", async () => ({ hostId: "h", epoch: 1, sequence: 5 }));

    await bus.streams.publish(channel, requested(tenant, "before"));
    const revision = (await bus.kv.update(hosts, aHost("h", 1), 0)) ?? 0;
    await eventually(() => handled.includes("before") && watched.get("h") === 1);

    await nats.kill9();
    await eventually(() => !bus.isConnected() && !other.isConnected());
    const duringOutage = bus.streams
      .publish(channel, requested(tenant, "during"))
      .catch((error: unknown) => error);
    await nats.restart();
    await eventually(() => bus.isConnected() && other.isConnected(), RECOVERY_MS);
    await duringOutage;

    // Retries the publish like its caller: the message is stored once, whether or not the first try arrived.
    await eventually(
      () => bus.streams.publish(channel, requested(tenant, "during")).catch(() => false as const),
      RECOVERY_MS,
    );
    expect((await bus.streams.publish(channel, requested(tenant, "before"))).duplicate).toBe(true);
    await bus.streams.publish(channel, requested(tenant, "after"));
    await eventually(() => handled.includes("during") && handled.includes("after"), RECOVERY_MS);

    expect((await bus.kv.get(hosts, "h"))?.revision).toBe(revision);
    expect(await bus.kv.update(hosts, aHost("h", 2), revision)).toBe(revision + 1);
    // The NATS client alone would detect the lost watch only after some 15 s.
    await eventually(() => watched.get("h") === 2, 5000);
    await bus.kv.update(hosts, aHost("new"), 0);
    await eventually(() => watched.has("new"), RECOVERY_MS);

    bus.core.publishTransient(hostChanges, aHost("h", 9));
    await eventually(() => received.includes(9), RECOVERY_MS);
    expect(await bus.core.request(pingCommand, "h", {})).toMatchObject({ sequence: 5 });
  });

  test("waits for a NATS server that starts later", async () => {
    const nats = await startNats();
    cleanUps.push(() => nats.stop());
    await nats.kill9();
    const connecting = connectTo(nats.url, "early");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await nats.restart();
    const bus = await connecting;
    cleanUps.push(() => bus.close());
    expect(await bus.kv.entries(hosts)).toEqual([]);
  });

  test("fails calls with storage_unavailable while NATS is down, and can be closed", async () => {
    const nats = await startNats();
    cleanUps.push(() => nats.stop());
    const bus = await connectTo(nats.url, "alone");
    const tenant = fresh("t");
    await nats.kill9();
    await eventually(() => !bus.isConnected());
    const unavailable = { code: "storage_unavailable" };
    await Promise.all([
      expect(bus.streams.publish(eventsOf(tenant), requested(tenant, "s"))).rejects.toMatchObject(
        unavailable,
      ),
      expect(bus.kv.get(hosts, "h")).rejects.toMatchObject(unavailable),
      expect(bus.kv.update(hosts, aHost("h"), 0)).rejects.toMatchObject(unavailable),
      expect(bus.kv.entries(hosts)).rejects.toMatchObject(unavailable),
      expect(bus.kv.history(hosts, "h")).rejects.toMatchObject(unavailable),
      expect(bus.kv.delete(hosts, "h", 1)).rejects.toMatchObject(unavailable),
      expect(bus.core.request(pingCommand, "h", {})).rejects.toMatchObject({ code: "timeout" }),
    ]);
    await bus.close();
  }, 60_000);
});
