// Following a bucket behaves the same in memory and on NATS: nothing of it is missed, whoever dies.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus, Change, Verdict } from "../../libs/bus/bus.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../libs/contracts/session.ts";
import { eventually, fresh, kinds, sessionRecord, type TestBuses } from "./buses.ts";

describe.each(kinds)("following on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  test("each revision there is and each that comes is handed out once it is saved, and a removal too", async () => {
    const tenant = fresh("t");
    const first = (await bus.save(sessions, sessionRecord(tenant, "s", { opId: "1" }), 0)) ?? 0;
    const second = (await bus.save(sessions, sessionRecord(tenant, "s", { opId: "2" }), first)) ?? 0;
    const seen: [string, number, string | undefined][] = [];
    const stop = await bus.follow(
      sessions,
      { durable: fresh("d"), concurrency: 1 },
      async ({ key, revision, value }) => {
        if (key.startsWith(tenant)) seen.push([key, revision, value?.opId]);
        return "done";
      },
    );
    await eventually(() => seen.length === 2);
    const third = (await bus.save(sessions, sessionRecord(tenant, "s", { opId: "3" }), second)) ?? 0;
    await eventually(() => seen.length === 3);
    await bus.remove(sessions, `${tenant}.s`, third);
    await eventually(() => seen.length === 4);
    const key = `${tenant}.s`;
    expect(seen).toEqual([
      [key, first, "1"],
      [key, second, "2"],
      [key, third, "3"],
      [key, third + 1, undefined],
    ]);
    await stop();
  });
});
