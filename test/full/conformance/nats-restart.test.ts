// A NATS server that is killed and started again: publishing, consuming, watching and talking go on.
import { afterEach, expect, test } from "vitest";
import { hosts } from "../../../libs/contracts/buckets.ts";
import { hostChanges, pingCommand } from "../../../libs/contracts/streams.ts";
import { connectTo, eventsOf, eventually, fresh, requested } from "../../conformance/buses.ts";
import { aHost } from "../../kit/fixtures/sessions.ts";
import { startNats } from "../../kit/servers/servers.ts";

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const BACK_WITHIN_MS = 20_000;

test("after a kill -9 and a restart everything goes on by itself", async () => {
  const nats = await startNats({ syncInterval: "always" });
  cleanUps.push(() => nats.stop());
  const bus = await connectTo(nats.url, "one");
  cleanUps.push(() => bus.close());
  const other = await connectTo(nats.url, "two");
  cleanUps.push(() => other.close());

  const tenant = fresh("t");
  const channel = eventsOf(tenant);
  const handled: string[] = [];
  await other.consume(channel, { durable: fresh("d"), concurrency: 4 }, async (event) => {
    handled.push(event.sessionId);
    return "done";
  });
  const watched = new Map<string, number>();
  await other.watch(hosts, ({ key, value }) => {
    if (value === undefined) watched.delete(key);
    else watched.set(key, value.sequence);
  });
  const heard: number[] = [];
  await other.subscribe(hostChanges, ({ sequence }) => heard.push(sequence));
  await other.serve(pingCommand, "h", async () => ({ hostId: "h", epoch: 1, sequence: 5 }));

  await bus.publish(channel, requested(tenant, "before"));
  const revision = (await bus.save(hosts, aHost("h", 1), 0)) ?? 0;
  await eventually(() => handled.includes("before") && watched.get("h") === 1);

  await nats.kill9();
  await eventually(() => !bus.isConnected() && !other.isConnected());
  const duringOutage = bus.publish(channel, requested(tenant, "during")).catch((error: unknown) => error);
  await nats.restart();
  await eventually(() => bus.isConnected() && other.isConnected(), BACK_WITHIN_MS);
  await duringOutage;

  // Published again, as its caller would: stored once, whether the first try had arrived or not.
  await eventually(
    () => bus.publish(channel, requested(tenant, "during")).catch(() => false as const),
    BACK_WITHIN_MS,
  );
  expect((await bus.publish(channel, requested(tenant, "before"))).duplicate).toBe(true);
  await bus.publish(channel, requested(tenant, "after"));
  await eventually(() => handled.includes("during") && handled.includes("after"), BACK_WITHIN_MS);

  expect((await bus.read(hosts, "h"))?.revision).toBe(revision);
  expect(await bus.save(hosts, aHost("h", 2), revision)).toBe(revision + 1);
  // The client alone would find out only after some 15 s that the server lost its watch.
  await eventually(() => watched.get("h") === 2, 5000);
  await bus.save(hosts, aHost("new"), 0);
  await eventually(() => watched.has("new"), BACK_WITHIN_MS);

  bus.publishTransient(hostChanges, aHost("h", 9));
  await eventually(() => heard.includes(9), BACK_WITHIN_MS);
  expect(await bus.request(pingCommand, "h", {})).toMatchObject({ sequence: 5 });
});

test("a process that starts before NATS waits for it", async () => {
  const nats = await startNats();
  cleanUps.push(() => nats.stop());
  await nats.kill9();
  const connecting = connectTo(nats.url, "early");
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await nats.restart();
  const bus = await connecting;
  cleanUps.push(() => bus.close());
  expect(await bus.list(hosts)).toEqual([]);
});

test("calls fail with storage_unavailable while NATS is away, and buses can be closed", async () => {
  const nats = await startNats();
  cleanUps.push(() => nats.stop());
  const bus = await connectTo(nats.url, "alone");
  const tenant = fresh("t");
  await nats.kill9();
  await eventually(() => !bus.isConnected());
  const unavailable = { code: "storage_unavailable" };
  await Promise.all([
    expect(bus.publish(eventsOf(tenant), requested(tenant, "s"))).rejects.toMatchObject(unavailable),
    expect(bus.read(hosts, "h")).rejects.toMatchObject(unavailable),
    expect(bus.save(hosts, aHost("h"), 0)).rejects.toMatchObject(unavailable),
    expect(bus.list(hosts)).rejects.toMatchObject(unavailable),
    expect(bus.history(hosts, "h")).rejects.toMatchObject(unavailable),
    expect(bus.remove(hosts, "h", 1)).rejects.toMatchObject(unavailable),
    expect(bus.request(pingCommand, "h", {})).rejects.toMatchObject({ code: "timeout" }),
  ]);
  await bus.close();
}, 60_000);
