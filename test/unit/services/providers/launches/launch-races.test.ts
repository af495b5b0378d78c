// Launches to which two things happen at once.

import { expect, test } from "vitest";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { sessions } from "../../../../../libs/contracts/buckets.ts";
import { providerHostOf } from "../../../../../libs/contracts/providers/provider.ts";
import { releaseCommand } from "../../../../../libs/contracts/streams.ts";
import { sleep } from "../../../../../libs/runtime/clock.ts";
import type { ProviderDriver } from "../../../../../services/providers/drivers/driver.ts";
import { providerWorld } from "../../../../kit/worlds/provider-world.ts";

test("does not launch again after a pause during which another instance launched", async () => {
  const { providers, request, when, provider, launch, clock } = await providerWorld();
  let resume: () => void = () => {};
  const resumed = new Promise<void>((resolve) => {
    resume = resolve;
  });
  // The instance has accepted, and is paused while it reads the record again.
  const first = await providers("c-1", (bus) =>
    overrideBus(bus, {
      kv: {
        watch: (bucket, see) => bus.kv.watch(bucket, bucket.name === sessions.name ? () => {} : see),
        get: async (bucket, key) => {
          const entry = await bus.kv.get(bucket, key);
          if (bucket.name === sessions.name && launch("s") !== undefined) await resumed;
          return entry;
        },
      },
    }),
  );
  await request("s");
  expect(await clock.runUntil(() => launch("s") !== undefined, 10_000)).toBe(true);
  first.pause();
  await providers("c-2");
  provider.first = { is: "ready", users: 1 };
  expect(await when("s", "ready")).toMatchObject({ attempt: 1 });
  expect(launch("s")).toMatchObject({ by: "c-2", takeovers: 1 });
  first.resume();
  resume();
  await clock.advance(5000);
  expect(provider.launched).toEqual(["s.1"]);
  expect(launch("s")).toMatchObject({ by: "c-2", state: "ready" });
});

test("ends a launch once when two releases arrive during an observation", async () => {
  const { providers, request, when, provider, launch, client, clock, outcome } = await providerWorld();
  let looks = 0;
  const slow: ProviderDriver = {
    name: provider.name,
    launchLimitMs: provider.launchLimitMs,
    launch: (order) => provider.launch(order),
    observe: async (of) => {
      looks += 1;
      await sleep(clock, 300);
      looks -= 1;
      return provider.observe(of);
    },
    end: async (of, reason) => {
      await sleep(clock, 50);
      return provider.end(of, reason);
    },
  };
  await providers("c-1", undefined, slow);
  provider.first = { is: "ready", users: 1 };
  await request("s");
  await when("s", "ready");
  expect(await clock.runUntil(() => looks > 0, 10_000)).toBe(true);
  const release = { tenant: "t", sessionId: "s", attempt: 1, reason: "the user hung up" };
  const host = providerHostOf("livekit");
  const releases = [1, 2].map(() => client.core.request(releaseCommand, host, release));
  await outcome(Promise.all(releases));
  expect(launch("s")?.state).toBe("over");
  expect(provider.ended).toEqual(["s.1"]);
});
