// Deleting a message behaves the same in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus } from "../../libs/bus/bus.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import { eventsOf, fresh, kinds, requested, type TestBuses } from "./buses.ts";

describe.each(kinds)("deleteMessage on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  const stored = (tenant: string) =>
    bus.streams.read(sessionEvents, { subject: `session.${tenant}.>`, limit: 100 });

  test("removes one message, keeps its neighbours, and reports false the second time", async () => {
    const tenant = fresh("t");
    for (const id of ["a", "b", "c"]) await bus.streams.publish(eventsOf(tenant), requested(tenant, id));
    const sequence = (await stored(tenant))[1]?.sequence ?? 0;
    expect(await bus.admin.deleteMessage(sessionEvents, sequence)).toBe(true);
    expect((await stored(tenant)).map(({ message }) => message.sessionId)).toEqual(["a", "c"]);
    expect(await bus.admin.deleteMessage(sessionEvents, sequence)).toBe(false);
    expect(await bus.admin.deleteMessage(sessionEvents, 1_000_000)).toBe(false);
  });

  test("hides a deleted message from consumers, which continue after it", async () => {
    const tenant = fresh("t");
    const channel = eventsOf(tenant);
    for (const id of ["a", "b", "c"]) await bus.streams.publish(channel, requested(tenant, id));
    const sequence = (await stored(tenant))[0]?.sequence ?? 0;
    await bus.admin.deleteMessage(sessionEvents, sequence);
    const seen: string[] = [];
    const stop = await bus.streams.consume(
      channel,
      { durable: fresh("d"), description: "a test", concurrency: 1 },
      async ({ sessionId }) => {
        seen.push(sessionId);
        return "ack";
      },
    );
    await expect.poll(() => seen, { timeout: 30_000 }).toEqual(["b", "c"]);
    await stop();
  });
});
