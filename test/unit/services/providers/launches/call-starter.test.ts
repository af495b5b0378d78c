// Phone calls into a room with a warm agent: both services together, with scripted phones.

import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../../libs/bus/override-bus.ts";
import { hosts, launches } from "../../../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../../../libs/contracts/errors.ts";
import { AT, aHost } from "../../../../kit/fixtures/sessions.ts";
import { callWorld } from "../../../../kit/worlds/call-world.ts";

const HUNG_UP = { status: "hungUp", unanswered: true, providerReason: "ended before it was answered" };

describe("a SIP call", () => {
  test("is dialed once, into the room of its ready agent, and its progress is recorded", async () => {
    const { providers, call, dialed, phones, launchWhen, record, when, clock } = await callWorld();
    await providers("c-1");
    await call("s", { call: { to: "+15550100", from: "+15550199" }, user: { id: "ann", name: "Ann" } });
    const dial = await dialed();
    expect(record("s")?.state).toBe("ready");
    expect(dial).toMatchObject({
      trunkId: "ST_1",
      to: "+15550100",
      from: "+15550199",
      room: "session-s",
      identity: "phone-s",
      name: "Ann",
      ringS: 45,
    });
    // LiveKit SIP hangs up by itself only later, as a last resort.
    expect(dial.longestS * 1000).toBeGreaterThan(record("s")?.deadlineMs.maxDuration ?? Number.NaN);
    expect(await launchWhen("s", (launch) => launch.call?.status === "dialing")).toMatchObject({
      provider: "sip",
      state: "launched",
      identity: "phone-s",
    });
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    phones.answer(dial);
    expect(await launchWhen("s", (launch) => launch.call?.status === "answered")).toMatchObject({
      state: "ready",
      externalId: "SCL_1",
    });
    await clock.advance(60_000);
    expect(record("s")?.state).toBe("ready");
    // One observation without the callee, such as during a bridge's reconnect, ends nothing.
    phones.line(dial, undefined);
    await clock.advance(700);
    phones.line(dial, "active");
    await clock.advance(5000);
    expect(record("s")?.state).toBe("ready");
    phones.line(dial, undefined);
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed" });
    expect(await launchWhen("s", (launch) => launch.state === "over")).toMatchObject({
      call: { status: "hungUp" },
    });
    expect(phones.dialed).toHaveLength(1);
  });

  test("is not dialed before its agent is ready, nor without a number", async () => {
    const { providers, call, phones, clock, request } = await callWorld();
    await providers("c-1");
    await call("s");
    await clock.advance(150);
    expect(phones.dialed).toEqual([]);
    await request("silent", { provider: "sip" });
    await clock.advance(10_000);
    expect(phones.dialed.map(({ room }) => room)).toEqual(["session-s"]);
  });

  test.each([
    [486, "Busy Here", "busy", "the callee was busy: SIP 486 Busy Here"],
    [603, "Decline", "busy", "the callee was busy: SIP 603 Decline"],
    [480, "Temporarily Unavailable", "noAnswer", "nobody answered: SIP 480 Temporarily Unavailable"],
  ] as const)(
    "expires after SIP %i, like a session whose user never joins",
    async (sipCode, phrase, status, reason) => {
      const { providers, call, dialed, when, launchWhen, phones } = await callWorld();
      await providers("c-1");
      await call("s");
      (await dialed()).finish({ is: "refused", sipCode, reason: `SIP ${sipCode} ${phrase}` });
      const record = await when("s", "ended");
      expect(record).toMatchObject({ endedReason: "expired", fault: "customer" });
      expect(record.history.at(-1)?.reason).toBe(reason);
      expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
        call: { status, sipCode },
      });
      expect(phones.dialed).toHaveLength(1);
    },
  );

  test("expires when it rings out", async () => {
    const { providers, call, dialed, when, launchWhen } = await callWorld();
    await providers("c-1");
    await call("s");
    (await dialed()).finish({
      is: "rang out",
      reason: "LiveKit failed the call: canceled sip request timed out",
    });
    expect(await when("s", "ended")).toMatchObject({ endedReason: "expired" });
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "noAnswer" },
    });
  });

  test.each([
    [
      { is: "refused", sipCode: 404, reason: "SIP 404 Not Found" } as const,
      { status: "failed", sipCode: 404, providerReason: "SIP 404 Not Found", permanent: true },
    ],
    [
      { is: "refused", reason: "no such trunk", permanent: true } as const,
      { status: "failed", providerReason: "no such trunk", permanent: true },
    ],
    [
      { is: "refused", reason: "sip not connected (redis required)" } as const,
      { status: "failed", providerReason: "sip not connected (redis required)" },
    ],
  ])(
    "ends with its provider's fault when it could not be made, and is not repeated",
    async (dial, expected) => {
      const { providers, call, dialed, when, launchWhen, phones, clock } = await callWorld();
      await providers("c-1");
      await call("s");
      (await dialed()).finish(dial);
      const record = await when("s", "ended");
      expect(record).toMatchObject({ endedReason: "provider_error", fault: "provider", attempt: 1 });
      expect(record.history.at(-1)?.reason).toContain(dial.reason);
      expect((await launchWhen("s", ({ state }) => state === "over")).call).toEqual(expected);
      await clock.advance(60_000);
      expect(phones.dialed).toHaveLength(1);
    },
  );

  test("is refused without a trunk, naming the missing setting, and is not dialed", async () => {
    const { providers, call, when, launchWhen, phones, client, outcome } = await callWorld();
    await providers("c-1");
    const sales = { status: "running" as const, warm: 9, hot: 0, warming: 0, busy: 0, max: 99 };
    const before = await outcome(client.kv.get(hosts, "h1"));
    await outcome(
      client.kv.update(hosts, aHost("h1", 2, { maxAgents: 99, profiles: { sales } }), before?.revision ?? 0),
    );
    await call("s", { profile: "sales" });
    const record = await when("s", "ended");
    expect(record.endedReason).toBe("provider_error");
    expect(record.history.at(-1)?.reason).toContain("GREENROOM_SIP_TRUNK");
    expect(await launchWhen("s", ({ state }) => state === "over")).not.toHaveProperty("call");
    expect(phones.dialed).toEqual([]);
  });

  test("is hung up when the session ends while it rings, and is not recorded as noAnswer", async () => {
    const { providers, call, dialed, phones, launchWhen, endRequested, when, clock } = await callWorld();
    await providers("c-1");
    await call("s");
    const dial = await dialed();
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    await endRequested("s");
    await when("s", "ended");
    const over = await launchWhen("s", ({ state }) => state === "over");
    expect(over.call).toEqual(HUNG_UP);
    expect(phones.removed).toContain("session-s/phone-s");
    await clock.advance(10_000);
    expect(await phones.observe("session-s", "phone-s")).toBeUndefined();
  });

  test("is not recorded as noAnswer when LiveKit closed the room with the session", async () => {
    const { providers, call, dialed, phones, launchWhen, endRequested, when } = await callWorld();
    await providers("c-1");
    await call("s");
    const dial = await dialed();
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    await endRequested("s");
    dial.finish({ is: "rang out", reason: "LiveKit failed the call: canceled sip request timed out" });
    await when("s", "ended");
    expect((await launchWhen("s", ({ state }) => state === "over")).call).toEqual(HUNG_UP);
  });

  test("counts as answered when the answer arrives as its session ends", async () => {
    const { providers, call, dialed, phones, launchWhen, endRequested } = await callWorld();
    await providers("c-1");
    await call("s");
    const dial = await dialed();
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    await endRequested("s");
    dial.finish({ is: "answered", callId: "SCL_1" });
    expect((await launchWhen("s", ({ state }) => state === "over")).call).toEqual({ status: "hungUp" });
  });

  test("is recorded as hung up even if the first writes of its end fail", async () => {
    const { providers, call, dialed, phones, launchWhen, endRequested } = await callWorld();
    let failures = 0;
    await providers("c-1", (bus) => {
      const update: Bus["kv"]["update"] = async (bucket, value, revision) => {
        const isEnd = bucket.name === "launches" && (value as { state?: string }).state === "over";
        if (isEnd && ++failures <= 2) throw new GreenroomError("storage_unavailable", "no leader");
        return bus.kv.update(bucket, value, revision);
      };
      return overrideBus(bus, { kv: { update } });
    });
    await call("s");
    const dial = await dialed();
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    await endRequested("s");
    expect((await launchWhen("s", ({ state }) => state === "over")).call).toEqual(HUNG_UP);
    expect(failures).toBe(3);
  });

  test("is unknown when its session ends and no instance saw its end", async () => {
    const { providers, call, dialed, phones, launchWhen, endRequested } = await callWorld();
    const first = await providers("c-1");
    await call("s");
    const dial = await dialed();
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    first.kill();
    await endRequested("s");
    await providers("c-2");
    const over = await launchWhen("s", ({ state }) => state === "over");
    expect(over.call).toMatchObject({ status: "unknown" });
  });

  test("is not dialed again after a failover, and goes on with the next agent", async () => {
    const { providers, call, dialed, phones, launchWhen, when, publish, clock, assigns } = await callWorld();
    await providers("c-1");
    await providers("c-2");
    await call("s");
    const dial = await dialed();
    phones.answer(dial);
    await launchWhen("s", (launch) => launch.call?.status === "answered");
    const about = { tenant: "t", sessionId: "s", attempt: 1, at: AT };
    await publish({ ...about, type: "agent_lost", reason: "its process died" });
    await when("s", "ready", 2);
    await clock.advance(30_000);
    expect(phones.dialed).toHaveLength(1);
    expect(assigns.map(({ callee }) => callee)).toEqual(["phone-s", "phone-s"]);
    phones.line(dial, undefined);
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed", attempt: 2 });
  });
});

/** A phone rings when the instance that dialed dies; another instance takes over. */
async function followedByAnother() {
  const world = await callWorld();
  const first = await world.providers("c-1");
  await world.call("s");
  const dial = await world.dialed();
  world.phones.line(dial, "ringing");
  await world.launchWhen("s", (launch) => launch.call?.status === "ringing");
  first.kill();
  await world.providers("c-2");
  return { ...world, dial };
}

describe("providers service, among several", () => {
  test("dials each call once", async () => {
    const { providers, call, dialed, phones, clock } = await callWorld();
    for (const name of ["c-1", "c-2", "c-3"]) await providers(name);
    for (const id of ["a", "b", "c", "d"]) await call(id);
    await dialed(4);
    await clock.advance(20_000);
    expect(phones.dialed.map(({ room }) => room).sort()).toEqual(
      ["a", "b", "c", "d"].map((id) => `session-${id}`),
    );
  });

  test("follows a ringing phone whose instance died, without dialing again", async () => {
    const { dial, phones, launchWhen, when, clock } = await followedByAnother();
    await launchWhen("s", ({ by }) => by === "c-2");
    phones.line(dial, "active");
    await launchWhen("s", (launch) => launch.call?.status === "answered");
    phones.line(dial, undefined);
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed" });
    await clock.advance(10_000);
    expect(phones.dialed).toHaveLength(1);
  });

  test("records a call as unknown when its instance died and its callee left unanswered", async () => {
    const { dial, phones, launchWhen, when, clock } = await followedByAnother();
    phones.line(dial, undefined);
    expect(await when("s", "ended")).toMatchObject({ endedReason: "provider_error", fault: "provider" });
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "unknown" },
    });
    await clock.advance(60_000);
    expect(phones.dialed).toHaveLength(1);
  });

  test("records an intent as unknown when its instance may have dialed and nobody is in the room", async () => {
    const { call, client, when, launch, phones, providers, outcome, launchWhen, clock } = await callWorld();
    await call("s");
    await when("s", "ready");
    await outcome(
      client.kv.update(
        launches,
        {
          v: 1,
          tenant: "t",
          sessionId: "s",
          attempt: 1,
          provider: "sip",
          profile: "support",
          room: "session-s",
          state: "intended",
          by: "c-0",
          takeovers: 0,
          at: AT,
          writeId: "o",
        },
        0,
      ),
    );
    await providers("c-1");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "provider_error" });
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "unknown" },
      takeovers: 1,
    });
    await clock.advance(60_000);
    expect(phones.dialed).toEqual([]);
    expect(launch("s")?.by).toBe("c-1");
  });
});

describe("a SIP call while LiveKit is unavailable", () => {
  test("is dialed once when the request never went out at first", async () => {
    const { providers, call, dialed, phones, launchWhen } = await callWorld();
    const away = { is: "not sent" as const, reason: "failed to reach LiveKit: ECONNREFUSED" };
    phones.mishaps.push(away, away, away);
    await providers("c-1");
    await call("s");
    phones.answer(await dialed());
    await launchWhen("s", (launch) => launch.call?.status === "answered");
    expect(phones.dialed).toHaveLength(1);
  });

  test("fails when the request never goes out, and dials nobody", async () => {
    const { providers, call, when, phones, launchWhen } = await callWorld();
    phones.mishaps.push(
      ...Array.from({ length: 9 }, () => ({ is: "not sent" as const, reason: "ECONNREFUSED" })),
    );
    await providers("c-1");
    await call("s");
    expect(await when("s", "ended")).toMatchObject({ endedReason: "provider_error" });
    expect(await launchWhen("s", ({ state }) => state === "over")).toMatchObject({
      call: { status: "failed" },
    });
    expect(phones.dialed).toEqual([]);
  });

  test("dials nobody when its session ends before the request goes out", async () => {
    const { providers, call, phones, endRequested, when, clock } = await callWorld();
    phones.mishaps.push(
      { is: "not sent", reason: "ECONNREFUSED" },
      { is: "not sent", reason: "ECONNREFUSED" },
    );
    await providers("c-1");
    await call("s");
    await when("s", "ready");
    await endRequested("s");
    await when("s", "ended");
    await clock.advance(30_000);
    expect(phones.dialed).toEqual([]);
  });

  test("is looked up when the answer was lost, and is dialed once", async () => {
    const { providers, call, dialed, phones, launchWhen, record, clock } = await callWorld();
    phones.mishaps.push({ is: "unconfirmed", reason: "LiveKit did not answer the dial request: ECONNRESET" });
    await providers("c-1");
    await call("s");
    const dial = await dialed();
    phones.line(dial, "ringing");
    await launchWhen("s", (launch) => launch.call?.status === "ringing");
    phones.line(dial, "active");
    await launchWhen("s", (launch) => launch.call?.status === "answered");
    await clock.advance(10_000);
    expect(record("s")?.state).toBe("ready");
    expect(phones.dialed).toHaveLength(1);
  });

  test("continues when it was answered before", async () => {
    const { providers, call, dialed, phones, launchWhen, record, clock } = await callWorld();
    await providers("c-1");
    await call("s");
    phones.answer(await dialed());
    await launchWhen("s", (launch) => launch.call?.status === "answered");
    phones.isReachable = false;
    await clock.advance(60_000);
    expect(record("s")?.state).toBe("ready");
  });
});
