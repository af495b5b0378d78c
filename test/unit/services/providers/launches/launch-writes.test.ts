// What the providers service saves of its launches, and whose it takes it for when an answer of the store was lost.

import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { launches } from "../../../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../../../libs/contracts/errors.ts";
import type { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import { sleep } from "../../../../../libs/runtime/clock.ts";
import { providerWorld } from "../../../../kit/worlds/provider-world.ts";

describe("what an instance writes of a launch", () => {
  test("and what is stored though the answer was lost, is its own: it goes on from there at once", async () => {
    const { providers, request, when, provider, launch } = await providerWorld();
    let lost = 0;
    await providers("c-1", (bus) => losingFirst(bus, "launched", () => lost++));
    await request("s");
    await when("s", "dispatched");
    provider.first = { is: "launched" };
    provider.become("s", 1, { is: "ready", identity: "agent-job-1" });
    expect(await when("s", "ready", 1, 5000)).toMatchObject({ failures: 0 });
    expect(launch("s")).toMatchObject({ state: "ready", by: "c-1", takeovers: 0 });
    expect(lost).toBeGreaterThan(1);
  });

  test("is its own too when it is the intent: nobody was asked, and it is over when nobody wants it", async () => {
    const { clock, providers, request, when, provider, launch } = await providerWorld();
    let lost = 0;
    await providers("c-1", (bus) => losingFirst(bus, "intended", () => lost++));
    provider.first = { is: "ready" };
    await request("s");
    await when("s", "ready", 2, 8000);
    await clock.advance(3000);
    expect(launch("s", 1)).toMatchObject({ state: "over", takeovers: 0 });
    expect(provider.launched).toEqual(["s.2"]);
  });

  test("is over once", async () => {
    const { clock, providers, request, server, when, provider } = await providerWorld();
    await providers("c-1");
    provider.script.push(async () => ({ is: "refused", reason: "no such agent", retryable: false }));
    await request("s");
    await when("s", "ended");
    await clock.advance(10_000);
    const states = server.written(launches).map(({ value }) => value?.state);
    expect(states).toEqual(["intended", "over"]);
  });

  test("is a sign of its life, though none of its beats was heard", async () => {
    const { clock, providers, request, when, provider, launch } = await providerWorld();
    await providers("c-1");
    await providers("c-2", (bus) => overrideBus(bus, { core: { subscribe: async () => async () => {} } }));
    await clock.advance(10_000);
    provider.first = { is: "ready" };
    provider.script.push(async (_order, start) => {
      await sleep(clock, 4000);
      return { is: "launched", externalId: start().id };
    });
    await request("s");
    await when("s", "ready");
    expect(provider.launched).toEqual(["s.1"]);
    expect(launch("s")).toMatchObject({ takeovers: 0 });
  });
});

/** A bus that tells nobody that the first launch of a state was saved. */
function losingFirst(bus: Bus, state: LaunchRecord["state"], count: () => number): Bus {
  return overrideBus(bus, {
    kv: {
      update: async (bucket, value, revision) => {
        const saved = await bus.kv.update(bucket, value, revision);
        const isIt = bucket.name === launches.name && (value as { state?: string }).state === state;
        if (isIt && count() === 0) throw new GreenroomError("storage_unavailable", "no answer");
        return saved;
      },
    },
  });
}
