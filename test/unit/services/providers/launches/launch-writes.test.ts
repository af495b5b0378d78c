// Writes of launches whose answer from the store is lost, and writes as a sign of life.

import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { launches } from "../../../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../../../libs/contracts/errors.ts";
import type { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import { sleep } from "../../../../../libs/runtime/clock.ts";
import { providerWorld } from "../../../../kit/worlds/provider-world.ts";

describe("a launch", () => {
  test("goes on at once when the answer to a stored write was lost", async () => {
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

  test("is over when the answer to its stored intent was lost, without asking the provider", async () => {
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

  test("proves by its writes that its instance is alive, even if all heartbeats are lost", async () => {
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

/** A bus whose first update to the given state is stored, but fails for the caller. */
function losingFirst(bus: Bus, state: LaunchRecord["state"], count: () => number): Bus {
  return overrideBus(bus, {
    kv: {
      update: async (bucket, value, revision) => {
        const saved = await bus.kv.update(bucket, value, revision);
        const isAffected = bucket.name === launches.name && (value as { state?: string }).state === state;
        if (isAffected && count() === 0) throw new GreenroomError("storage_unavailable", "no answer");
        return saved;
      },
    },
  });
}
