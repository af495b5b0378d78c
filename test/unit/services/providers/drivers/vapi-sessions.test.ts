// Sessions whose call VAPI makes: both services on an in-memory bus, and a stand-in for VAPI.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { launches, sessions } from "../../../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../../../libs/contracts/errors.ts";
import type { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { startHeartbeat } from "../../../../../libs/fleet/heartbeat.ts";
import { type Clock, systemClock } from "../../../../../libs/runtime/clock.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { startDispatcher } from "../../../../../services/dispatcher/dispatcher.ts";
import { vapiDriver } from "../../../../../services/providers/drivers/vapi.ts";
import { canDial } from "../../../../../services/providers/launches/dial-guard.ts";
import { startProviders } from "../../../../../services/providers/providers.ts";
import {
  type StandInCall,
  startVapiStandIn,
  VAPI_KEY,
  type VapiStandIn,
} from "../../../../kit/fakes/vapi.ts";
import { AT, anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../../kit/random.ts";
import { until } from "../../../../kit/until.ts";
import { LIMITS } from "../../../../kit/worlds/provider-world.ts";
import { createMemoryServer } from "../../../../simulation/nats/memory-server.ts";

const ASSISTANT = "0f1e2d3c-0000-4000-8000-000000000001";
const NUMBER = "0f1e2d3c-0000-4000-8000-000000000002";

let vapi: VapiStandIn;
const stops: (() => unknown)[] = [];
beforeEach(async () => {
  vapi = await startVapiStandIn();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await vapi.close();
});

async function scene() {
  const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
  const dispatcher = await startDispatcher({
    bus: server.connect("dispatcher"),
    clock: systemClock,
    log: silentLog,
    // VAPI needs no LiveKit room.
    livekit: undefined,
    instance: "dispatcher-1",
    defaults,
  });
  stops.push(() => dispatcher.stop());
  const client = server.connect("client");
  const providers = async (instance: string, change: (bus: Bus) => Bus = (bus) => bus) => {
    const link = server.connect(instance);
    const bus = change(link);
    let isAlive = true;
    const clock: Clock = {
      ...systemClock,
      after: (ms, work) => systemClock.after(ms, () => (isAlive ? work() : undefined)),
    };
    const provider = vapiDriver({
      url: vapi.url,
      key: VAPI_KEY,
      clock,
      assistantOf: () => ASSISTANT,
      numbers: new Map([["+15550199", NUMBER]]),
      pollMs: 20,
      answerMs: 500,
      lookUpAfterMs: [0, 50, 100],
      canDial: (order) => canDial(bus, order),
    });
    const running = await startProviders({
      bus,
      clock,
      log: silentLog,
      instance,
      providers: [provider],
      limits: { ...LIMITS, observeMs: 100 },
      ringingWaitMs: 60_000,
    });
    const stopHeartbeat = startHeartbeat(bus, clock, { service: "providers", instance });
    stops.push(async () => {
      if (!isAlive) return;
      stopHeartbeat();
      await running.stop();
    });
    /** Like `kill -9`. */
    const kill = () => {
      isAlive = false;
      link.crash();
    };
    return { kill };
  };
  const call = (id: string) =>
    client.streams.publish(
      sessionEvents,
      anEvent(id, { profile: "sales", provider: "vapi", call: { to: "+15550100" } }),
    );
  const record = (id: string): SessionRecord | undefined =>
    server.entries(sessions).find(({ value }) => value.sessionId === id)?.value;
  const launch = (id: string, attempt = 1): LaunchRecord | undefined =>
    server.entries(launches).find(({ value }) => value.sessionId === id && value.attempt === attempt)?.value;
  const when = (id: string, state: SessionRecord["state"]) =>
    until(() => (record(id)?.state === state ? record(id) : undefined), {
      timeoutMs: 20_000,
      what: () => `${id} is ${state}; it is ${JSON.stringify(record(id))}, ${JSON.stringify(launch(id))}`,
    });
  const launchWhen = (id: string, is: (launch: LaunchRecord) => boolean) =>
    until(
      () => {
        const now = launch(id);
        return now !== undefined && is(now) ? now : undefined;
      },
      { timeoutMs: 20_000, what: () => `the launch matches; it is ${JSON.stringify(launch(id))}` },
    );
  return { client, providers, call, record, launch, when, launchWhen };
}

const theCall = (): Promise<StandInCall> =>
  until(() => vapi.calls[0], { timeoutMs: 20_000, what: "VAPI has a call" });
/** The janitor's event for a session whose agent never joined. */
const joinDeadlineExceeded = (sessionId: string): SessionEvent => ({
  type: "deadline_exceeded",
  tenant: "t",
  sessionId,
  at: AT,
  attempt: 1,
  state: "dispatched",
  kind: "join",
  waitedMs: 200_000,
  reason: "it didn't join",
});
const endRequested = (sessionId: string): SessionEvent => ({
  type: "end_requested",
  tenant: "t",
  sessionId,
  at: AT,
  endedReason: "completed",
  reason: "ended by the API",
});
const callRequests = (): number => vapi.requests.filter((route) => route === "POST /call").length;

describe("a session whose call VAPI makes", () => {
  test("is joined when the phone rings, ready at the answer, and completed when the callee hangs up", async () => {
    const { providers, call, when, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    const { id } = await theCall();
    await launchWhen("s", (launch) => launch.call?.status === "dialing" && launch.externalId === id);
    vapi.move(id, "ringing");
    await when("s", "joined");
    vapi.move(id, "in-progress");
    expect(await when("s", "ready")).toMatchObject({ host: "provider-vapi", attempt: 1 });
    vapi.move(id, "ended", "customer-ended-call");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed", fault: "none" });
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "hungUp", providerReason: "customer-ended-call" },
    });
    expect(callRequests()).toBe(1);
  });

  test("has exactly one call when the answer to the request is lost, because the call is looked up", async () => {
    vapi.next("POST /call", { is: "lost answer" });
    const { providers, call, when, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    const { id } = await theCall();
    expect(await launchWhen("s", ({ state }) => state === "launched")).toMatchObject({
      externalId: id,
      attempt: 1,
    });
    vapi.move(id, "in-progress");
    await when("s", "ready");
    expect(vapi.calls).toHaveLength(1);
    expect(callRequests()).toBe(1);
  });

  test("ends with an unknown call when the request vanishes, and does not repeat the request", async () => {
    vapi.next("POST /call", { is: "cut" });
    const { providers, call, when, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "provider_error", attempt: 1 });
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "unknown" },
    });
    expect(callRequests()).toBe(1);
  });

  test("ends at once in VAPI's words when VAPI refuses, and has no call", async () => {
    const description = { message: ["customer.number is not allowed"], statusCode: 400 };
    vapi.next("POST /call", { is: "answer", status: 400, body: description });
    const { providers, call, when, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    const record = await when("s", "ended");
    expect(record).toMatchObject({ endedReason: "provider_error", failures: 1 });
    expect(record?.history.at(-1)?.reason).toContain("customer.number is not allowed");
    expect(await launchWhen("s", ({ state }) => state === "over")).not.toHaveProperty("call");
    expect(callRequests()).toBe(1);
  });

  test("is retried after a 429, since nobody was called", async () => {
    vapi.next("POST /call", { is: "answer", status: 429, body: {}, headers: { "retry-after": "0" } });
    const { providers, call, when } = await scene();
    await providers("c-1");
    await call("s");
    vapi.move((await theCall()).id, "in-progress");
    expect(await when("s", "ready")).toMatchObject({ attempt: 2, failures: 1 });
    expect(vapi.calls).toHaveLength(1);
    expect(callRequests()).toBe(2);
  });

  test.each([
    ["customer-busy", "busy", "expired"],
    ["customer-did-not-answer", "noAnswer", "expired"],
    ["voicemail", "voicemail", "expired"],
    ["call.in-progress.error-sip-outbound-call-failed-to-connect", "failed", "provider_error"],
  ] as const)(
    "maps VAPI's %s to a call that is %s, without a second call",
    async (reason, status, endedReason) => {
      const { providers, call, when, launchWhen } = await scene();
      await providers("c-1");
      await call("s");
      const { id } = await theCall();
      vapi.move(id, "ringing");
      await when("s", "joined");
      vapi.move(id, "ended", reason);
      expect(await when("s", "ended")).toMatchObject({ endedReason, attempt: 1 });
      expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({ call: { status } });
      expect(callRequests()).toBe(1);
    },
  );

  test("expires when the callee is busy before the first poll", async () => {
    const { providers, call, when } = await scene();
    await providers("c-1");
    await call("s");
    vapi.move((await theCall()).id, "ended", "customer-busy");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "expired", fault: "customer", attempt: 1 });
    expect(callRequests()).toBe(1);
  });

  test("ends its call when it ends", async () => {
    const { client, providers, call, when, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    const { id } = await theCall();
    vapi.move(id, "in-progress");
    await when("s", "ready");
    await client.streams.publish(sessionEvents, endRequested("s"));
    await when("s", "ended");
    await launchWhen("s", ({ state }) => state === "over");
    expect(vapi.calls[0]).toMatchObject({ status: "ended", endedReason: "manually-canceled" });
  });

  test.each([
    ["queued", "ended before it was answered: it was deleted"],
    ["ringing", "ended before it was answered: manually-canceled"],
  ] as const)("hangs up a call that is %s, unanswered", async (status, providerReason) => {
    const { client, providers, call, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    const { id } = await theCall();
    vapi.move(id, status);
    await launchWhen("s", (launch) => launch.externalId === id);
    await client.streams.publish(sessionEvents, endRequested("s"));
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "hungUp", unanswered: true, providerReason },
    });
  });

  test("goes on with another instance when its own dies, with one call", async () => {
    const { providers, call, when, launchWhen } = await scene();
    const first = await providers("c-1");
    await call("s");
    const { id } = await theCall();
    vapi.move(id, "in-progress");
    await when("s", "ready");
    first.kill();
    await providers("c-2");
    await launchWhen("s", ({ by }) => by === "c-2");
    vapi.move(id, "ended", "assistant-ended-call");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed" });
    expect(callRequests()).toBe(1);
  }, 30_000);
});

describe("a second attempt of a session that had a call", () => {
  const isRefused = (record: SessionRecord | undefined) => {
    expect(record).toMatchObject({ endedReason: "provider_error", attempt: 2 });
    expect(record?.history.at(-1)?.reason).toContain("a session has one call");
    expect(callRequests()).toBe(1);
  };

  test("calls nobody when the agent was lost after the answer", async () => {
    const { providers, call, when, launch, launchWhen } = await scene();
    await providers("c-1");
    await call("s");
    const { id } = await theCall();
    vapi.move(id, "in-progress");
    await when("s", "ready");
    await launchWhen("s", (launch) => launch.call?.status === "answered");
    // VAPI no longer knows the call, as if its worker was lost.
    vapi.calls.splice(0);
    isRefused(await when("s", "ended"));
    expect(launch("s", 1)?.call).toMatchObject({ status: "hungUp" });
    expect(launch("s", 2)).toMatchObject({ state: "over" });
    expect(launch("s", 2)).not.toHaveProperty("call");
  });

  test("calls nobody when the instance died during its request, and another has the next attempt", async () => {
    vapi.next("POST /call", { is: "slow", ms: 300 });
    const { client, providers, call, when } = await scene();
    const first = await providers("c-1");
    await call("s");
    await until(() => callRequests() === 1, { timeoutMs: 20_000, what: "VAPI has the request" });
    first.kill();
    await client.streams.publish(sessionEvents, joinDeadlineExceeded("s"));
    await providers("c-2");
    isRefused(await when("s", "ended"));
  }, 30_000);

  test("calls nobody when the call could be neither saved nor found", async () => {
    vapi.listAfter(600_000);
    const { client, providers, call, when, launchWhen } = await scene();
    await providers("c-1", (bus) => {
      const update: Bus["kv"]["update"] = async (bucket, value, revision) => {
        const { attempt, state } = value as Partial<LaunchRecord>;
        if (bucket.name === "launches" && attempt === 1 && state !== "intended" && state !== "over")
          throw new GreenroomError("storage_unavailable", "no leader");
        return bus.kv.update(bucket, value, revision);
      };
      return overrideBus(bus, { kv: { update } });
    });
    await call("s");
    await theCall();
    await client.streams.publish(sessionEvents, joinDeadlineExceeded("s"));
    isRefused(await when("s", "ended"));
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "unknown" },
    });
  });
});
