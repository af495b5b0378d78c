// Sessions of a scripted provider: dispatcher, providers services and janitor together.

import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { providerHostOf } from "../../../../../libs/contracts/providers/provider.ts";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { refsOf, saveTexts } from "../../../../../services/gateway/sessions/store-text.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import { LIMITS, providerWorld } from "../../../../kit/worlds/provider-world.ts";

const ended = (sessionId: string) =>
  ({
    type: "end_requested",
    tenant: "t",
    sessionId,
    at: AT,
    endedReason: "completed",
    reason: "the user hung up",
  }) as const;

describe("a session of a provider", () => {
  test("is launched once, and is joined and ready when the provider reports it", async () => {
    const { providers, request, when, provider, launch, livekit } = await providerWorld();
    await providers("c-1");
    await request("s", { metadata: { topic: "billing" }, user: { id: "ann", name: "Ann" } });
    await when("s", "dispatched");
    expect((await livekit.rooms.list()).map(({ name }) => name)).toEqual(["session-s"]);
    await when("s", "dispatched");
    provider.first = { is: "launched" };
    provider.become("s", 1, { is: "joined", identity: "agent-job-1" });
    await when("s", "joined");
    provider.become("s", 1, { is: "ready", identity: "agent-job-1", users: 0 });
    const record = await when("s", "ready");
    expect(record).toMatchObject({
      host: providerHostOf("livekit"),
      attempt: 1,
      identity: "agent-job-1",
      room: "session-s",
      warm: "cold",
    });
    expect(record.timings.readyMs).toBeGreaterThanOrEqual(record.timings.joinMs ?? Number.NaN);
    expect(provider.launched).toEqual(["s.1"]);
    expect(provider.jobs[0]?.order).toMatchObject({
      profile: "support",
      room: "session-s",
      metadata: { topic: "billing" },
      user: { id: "ann", name: "Ann" },
      recovering: false,
    });
    expect(launch("s")).toMatchObject({ state: "ready", externalId: "job-1", by: "c-1", takeovers: 0 });
  });

  test("gets large metadata whole", async () => {
    const { providers, request, when, provider, client, outcome } = await providerWorld();
    await providers("c-1");
    const metadata = { topic: "billing", lines: Array.from({ length: 1000 }, (_, line) => `line ${line}`) };
    const texts = { metadata: JSON.stringify(metadata) };
    await outcome(saveTexts(client, { tenant: "t", sessionId: "s" }, texts));
    provider.first = { is: "ready", users: 1 };
    await request("s", refsOf(texts));
    await when("s", "ready");
    expect(provider.jobs[0]?.order.metadata).toEqual(metadata);
  });

  test("ends its launch when it ends", async () => {
    const { providers, request, when, provider, launch, client, clock, outcome } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready", users: 1 };
    await request("s");
    await when("s", "ready");
    await outcome(client.streams.publish(sessionEvents, ended("s")));
    await when("s", "ended");
    await clock.advance(2000);
    expect(provider.ended).toContain("s.1");
    expect(provider.jobs).toEqual([]);
    expect(launch("s")?.state).toBe("over");
  });

  test("ends its launch even if the provider is unreachable for a while", async () => {
    const { providers, request, when, provider, launch, client, clock, outcome } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready" };
    await request("s");
    await when("s", "ready");
    provider.isReachable = false;
    await outcome(client.streams.publish(sessionEvents, ended("s")));
    await when("s", "ended");
    await clock.advance(30_000);
    expect(launch("s")?.state).toBe("ready");
    provider.isReachable = true;
    await clock.advance(15_000);
    expect(launch("s")?.state).toBe("over");
    expect(provider.jobs).toEqual([]);
  });

  test("is launched again with pauses while nobody accepts, and ends with no_capacity", async () => {
    const { providers, request, when, provider } = await providerWorld({ janitor: true, queueMs: 40_000 });
    await providers("c-1");
    provider.first = { is: "untaken", reason: "no worker took the job" };
    await request("s");
    const record = await when("s", "ended", undefined, 180_000);
    expect(record).toMatchObject({ endedReason: "no_capacity", fault: "platform", failures: 0 });
    expect(record.history.at(-1)?.reason).toMatch(
      /no agent of support was free for .*no worker took the job for 4/,
    );
    expect(provider.launched.length).toBeGreaterThan(3);
    expect(new Set(provider.launched).size).toBe(provider.launched.length);
    // Each launch was withdrawn before the next one.
    expect(provider.jobs).toEqual([]);
  });

  test("becomes ready without a failure when a worker accepts the second launch", async () => {
    const { providers, request, when, provider } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "untaken", reason: "no worker took the job" };
    await request("s");
    await when("s", "requested", 2);
    provider.first = { is: "ready" };
    expect(await when("s", "ready")).toMatchObject({ attempt: 2, failures: 0 });
    expect(provider.launched).toEqual(["s.1", "s.2"]);
  });

  test("ends at once with the provider's reason and fault when the provider refuses for good", async () => {
    const { providers, request, when, provider } = await providerWorld();
    await providers("c-1");
    provider.script.push(async () => ({ is: "refused", reason: "403: no such runner", retryable: false }));
    await request("s");
    const record = await when("s", "ended");
    expect(record).toMatchObject({ endedReason: "provider_error", fault: "provider", attempt: 1 });
    expect(record.history.at(-1)?.reason).toBe("403: no such runner");
    expect(provider.launched).toEqual([]);
  });

  test("is retried up to the allowed attempts when the provider refuses temporarily", async () => {
    const { providers, request, when, provider } = await providerWorld();
    await providers("c-1");
    const refusal = async () => ({ is: "refused" as const, reason: "503", retryable: true });
    provider.script.push(refusal, refusal, refusal);
    await request("s");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "provider_error", failures: 3 });
  });

  test("goes on with the next agent in the same room when its agent is gone", async () => {
    const { providers, request, when, provider, clock } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready", users: 1 };
    await request("s");
    const before = await when("s", "ready");
    provider.become("s", 1, { is: "launched" });
    const after = await when("s", "ready", 2);
    expect(after).toMatchObject({ failures: 1, room: before.room });
    expect(after.history.map(({ reason }) => reason)).toContain(
      "the agent agent-job-1 is no longer in room session-s",
    );
    expect(provider.jobs.find(({ order }) => order.attempt === 2)?.order.recovering).toBe(true);
    await clock.advance(3000);
    expect(provider.ended).toContain("s.1");
  });

  test("ends when its user left for good, and goes on when the user returns in time", async () => {
    const { providers, request, when, provider, clock, record } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready", users: 1 };
    await request("s");
    await when("s", "ready");
    await clock.advance(2000);
    provider.become("s", 1, { is: "ready", users: 0 });
    await clock.advance(LIMITS.userLeftMs - 500);
    provider.become("s", 1, { is: "ready", users: 1 });
    await clock.advance(10_000);
    expect(record("s")?.state).toBe("ready");
    provider.become("s", 1, { is: "ready", users: 0 });
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed" });
  });

  test("expires when its user never joins", async () => {
    const { providers, request, when, provider } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready", users: 0 };
    await request("s");
    await when("s", "ready");
    const record = await when("s", "ended", undefined, 400_000);
    expect(record).toMatchObject({ endedReason: "expired", fault: "customer" });
  });
});

describe("a session without any providers service", () => {
  test("is retried with pauses, and is launched when an instance starts", async () => {
    const { providers, request, when, record, provider, clock } = await providerWorld();
    await request("s");
    await clock.advance(20_000);
    expect(record("s")).toMatchObject({ state: "requested", failures: 0, backoffMs: 5000 });
    expect(record("s")?.attempt).toBeLessThan(12);
    expect(record("s")?.history.at(-1)?.reason).toBe(
      "no providers service is running that would ask the provider livekit",
    );
    provider.first = { is: "ready" };
    await providers("c-1");
    expect(await when("s", "ready")).toMatchObject({ failures: 0 });
    expect(provider.launched).toHaveLength(1);
  });

  test("doesn't hold up a session of the same profile that the pool serves", async () => {
    const { request, record, clock } = await providerWorld();
    await request("external");
    await clock.advance(3000);
    await request("pooled", { provider: undefined });
    await clock.advance(100);
    expect(record("pooled")).toMatchObject({ state: "requested", attempt: 1 });
    expect(record("pooled")?.history).toHaveLength(1);
  });
});

describe("an instance that takes over a launch", () => {
  test("launches once when the first died between the intent and the launch", async () => {
    const { providers, request, when, provider, launch, clock } = await providerWorld();
    const first = await providers("c-1");
    provider.script.push(() => new Promise(() => {}));
    await request("s");
    await when("s", "dispatched");
    await clock.advance(100);
    expect(launch("s")).toMatchObject({ state: "intended", by: "c-1" });
    first.kill();
    await providers("c-2");
    provider.first = { is: "ready" };
    expect(await when("s", "ready")).toMatchObject({ attempt: 1, failures: 0 });
    expect(provider.launched).toEqual(["s.1"]);
    expect(launch("s")).toMatchObject({ by: "c-2", takeovers: 1 });
  });

  test("finds the launch when the first died before saving it, and launches nothing", async () => {
    const { providers, request, when, provider, launch, clock } = await providerWorld();
    const first = await providers("c-1");
    provider.script.push((_order, start) => {
      start();
      return new Promise(() => {});
    });
    provider.first = { is: "ready" };
    await request("s");
    await when("s", "dispatched");
    await clock.advance(100);
    first.kill();
    await providers("c-2");
    expect(await when("s", "ready")).toMatchObject({ attempt: 1, failures: 0 });
    expect(provider.launched).toEqual(["s.1"]);
    expect(launch("s")).toMatchObject({ externalId: "job-1", takeovers: 1 });
  });

  test("never launches again when the provider can't look up the first launch", async () => {
    const { providers, request, when, provider, launch, clock } = await providerWorld();
    const first = await providers("c-1");
    provider.canLookUp = false;
    provider.script.push((_order, start) => {
      start();
      return new Promise(() => {});
    });
    await request("s");
    await when("s", "dispatched");
    await clock.advance(100);
    first.kill();
    await providers("c-2");
    const record = await when("s", "ended");
    expect(record).toMatchObject({ endedReason: "provider_error", attempt: 1 });
    expect(record.history.at(-1)?.reason).toBe("the provider keeps no list of its launches");
    expect(provider.launched).toEqual(["s.1"]);
    await clock.advance(60_000);
    expect(provider.launched).toEqual(["s.1"]);
    expect(launch("s")?.state).toBe("over");
  });

  test("observes a ready agent and detects its loss", async () => {
    const { providers, request, when, provider, clock, launch } = await providerWorld();
    const first = await providers("c-1");
    await providers("c-2");
    provider.first = { is: "ready", users: 1 };
    const { by } = await (async () => {
      await request("s");
      await when("s", "ready");
      return launch("s") as { by: string };
    })();
    if (by === "c-1") first.kill();
    else throw new Error(`the first instance of the queue group gets requests, not ${by}`);
    await clock.advance(10_000);
    expect(launch("s")).toMatchObject({ by: "c-2", state: "ready" });
    provider.become("s", 1, { is: "launched" });
    expect(await when("s", "ready", 2)).toMatchObject({ failures: 1 });
  });

  test("takes over the launch at once when the first shuts down", async () => {
    const { providers, request, when, provider, clock, launch } = await providerWorld();
    const first = await providers("c-1");
    provider.first = { is: "ready", users: 1 };
    await request("s");
    await when("s", "ready");
    await providers("c-2");
    await clock.advance(7000);
    await first.stop();
    await clock.advance(1000);
    expect(launch("s")).toMatchObject({ by: "c-2" });
  });

  test("keeps the launch when the first was only paused and resumes", async () => {
    const { providers, request, when, provider, clock, launch } = await providerWorld();
    const first = await providers("c-1");
    let go: () => void = () => {};
    provider.script.push(
      (_order, start) =>
        new Promise((resolve) => {
          const job = start();
          go = () => resolve({ is: "launched", externalId: job.id });
        }),
    );
    provider.first = { is: "ready" };
    await request("s");
    await when("s", "dispatched");
    await clock.advance(100);
    first.pause();
    await providers("c-2");
    await when("s", "ready");
    first.resume();
    go();
    await clock.advance(30_000);
    expect(launch("s")).toMatchObject({ by: "c-2", takeovers: 1, state: "ready" });
    expect(provider.launched).toEqual(["s.1"]);
  });
});

test("repeats events that could not be published, without a janitor", async () => {
  const { providers, request, when, provider } = await providerWorld();
  let refusals = 2;
  await providers("c-1", (bus) => {
    const publish: Bus["streams"]["publish"] = (channel, message) =>
      refusals-- > 0
        ? Promise.reject(new Error("the stream is away"))
        : bus.streams.publish(channel, message);
    return overrideBus(bus, { streams: { publish } });
  });
  provider.first = { is: "ready" };
  await request("s");
  expect(await when("s", "ready", 1, 10_000)).toMatchObject({ failures: 0 });
  expect(refusals).toBeLessThan(0);
});

describe("a launch whose answer from the provider is lost", () => {
  test("goes on when a lookup finds it", async () => {
    const { providers, request, when, provider } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready" };
    provider.script.push(async (_order, start) => {
      start();
      throw new Error("no answer within 5 s");
    });
    await request("s");
    expect(await when("s", "ready")).toMatchObject({ attempt: 1, failures: 0 });
    expect(provider.launched).toEqual(["s.1"]);
  });

  test("fails the attempt when a lookup finds nothing, and is not repeated with the same number", async () => {
    const { providers, request, when, provider } = await providerWorld();
    await providers("c-1");
    provider.first = { is: "ready" };
    provider.script.push(async () => {
      throw new Error("no answer within 5 s");
    });
    await request("s");
    expect(await when("s", "ready")).toMatchObject({ attempt: 2, failures: 1 });
    expect(provider.launched).toEqual(["s.2"]);
  });
});
