// Shutdown of a providers service while phones ring: it waits for the outcome of its calls.
import { describe, expect, test } from "vitest";
import { ringingWaitMs } from "../../../../../services/providers/launches/wait-for-ringing-calls.ts";
import { callWorld } from "../../../../kit/worlds/call-world.ts";

/** A ringing phone, dialed by c-1. On shutdown c-1 waits for at most 60 s. */
async function ringing() {
  const world = await callWorld();
  const { providers, call, dialed, phones, launchWhen } = world;
  const first = await providers("c-1");
  await call("s");
  const dial = await dialed();
  phones.line(dial, "ringing");
  await launchWhen("s", (launch) => launch.call?.status === "ringing");
  const stopping = async () => {
    const atMs = world.clock.monotonic();
    await first.stop();
    return world.clock.monotonic() - atMs;
  };
  return { ...world, dial, stopping };
}

describe("waitForRingingCalls", () => {
  test("saves the carrier's answer before the service stops", async () => {
    const { clock, dial, stopping, launch, record } = await ringing();
    clock.after(20_000, () => dial.finish({ is: "refused", sipCode: 486, reason: "SIP 486 Busy Here" }));
    const tookMs = await stopping();
    expect(tookMs).toBeGreaterThan(20_000);
    expect(tookMs).toBeLessThan(25_000);
    expect(launch("s")).toMatchObject({ by: "c-1", call: { status: "busy", sipCode: 486 } });
    await clock.advance(5000);
    expect(record("s")).toMatchObject({ endedReason: "expired" });
  });

  test("leaves an answered call to another instance, which follows it", async () => {
    const { clock, providers, dial, phones, stopping, launchWhen, when } = await ringing();
    clock.after(5000, () => phones.answer(dial));
    expect(await stopping()).toBeLessThan(10_000);
    await providers("c-2");
    await launchWhen("s", ({ by, call }) => by === "c-2" && call?.status === "answered");
    phones.line(dial, undefined);
    expect(await when("s", "ended")).toMatchObject({ endedReason: "completed" });
    expect(phones.dialed).toHaveLength(1);
  });

  test("hangs up when the session ends during the wait", async () => {
    const { clock, endRequested, stopping, launch } = await ringing();
    clock.after(3000, () => void endRequested("s"));
    expect(await stopping()).toBeLessThan(10_000);
    expect(launch("s")).toMatchObject({ call: { status: "hungUp", unanswered: true } });
  });

  test("dials nobody else during the wait; another instance does", async () => {
    const { clock, providers, call, phones, stopping, launch } = await ringing();
    clock.after(1000, () => void call("later"));
    await stopping();
    expect(phones.dialed).toHaveLength(1);
    await providers("c-2");
    await clock.advance(5000);
    expect(phones.dialed.map(({ room }) => room)).toEqual(["session-s", "session-later"]);
    expect(launch("later")?.by).toBe("c-2");
  });

  test("stops waiting when a phone rings longer than any phone may", async () => {
    const { stopping, launch } = await ringing();
    const tookMs = await stopping();
    expect(tookMs).toBeGreaterThanOrEqual(60_000);
    expect(tookMs).toBeLessThan(62_000);
    expect(launch("s")?.call).toEqual({ status: "ringing" });
  });

  test("waits for no call of another instance", async () => {
    const { providers, clock } = await ringing();
    const idle = await providers("c-2");
    const atMs = clock.monotonic();
    await idle.stop();
    expect(clock.monotonic() - atMs).toBeLessThan(1000);
  });
});

test("waits no longer than a phone may ring, nor than the drain timeout", () => {
  expect(ringingWaitMs(45, 600_000)).toBe(70_000);
  expect(ringingWaitMs(45, 5000)).toBe(5000);
  expect(ringingWaitMs(45, 0)).toBe(0);
});
