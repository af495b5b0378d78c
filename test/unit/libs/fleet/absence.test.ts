// Pauses and lost connections that a process notices itself, because others may have given it up.
import { describe, expect, test } from "vitest";
import { watchAbsence } from "../../../../libs/fleet/absence.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

function watched() {
  const clock = createSimClock();
  const own = clock.forProcess();
  const bus = { connected: true, isConnected: () => bus.connected };
  const returns: number[] = [];
  const absence = watchAbsence(bus, own, (lateMs) => returns.push(lateMs));
  return { clock, own, bus, returns, absence };
}

describe("watchAbsence", () => {
  test("sees an undisturbed process present since the start", async () => {
    const { clock, returns, absence } = watched();
    await clock.advance(60_000);
    expect(absence.presentSinceMs()).toBe(0);
    expect(returns).toEqual([]);
  });

  test("reports a pause of more than a second, with its length, at the first tick after it", async () => {
    const { clock, own, returns, absence } = watched();
    await clock.advance(1000);
    own.pause();
    await clock.advance(5000);
    // The caller runs before the late tick.
    expect(absence.presentSinceMs()).toBeUndefined();
    own.resume();
    await clock.advance(10);
    expect(absence.presentSinceMs()).toBe(6000);
    expect(returns).toEqual([4750]);
  });

  test("treats a shorter delay as a busy process", async () => {
    const { clock, own, returns, absence } = watched();
    await clock.advance(1000);
    own.pause();
    await clock.advance(1200);
    own.resume();
    await clock.advance(10);
    expect(absence.presentSinceMs()).toBe(0);
    expect(returns).toEqual([]);
  });

  test("counts the time without NATS as absence, and reports the reconnection once", async () => {
    const { clock, bus, returns, absence } = watched();
    await clock.advance(1000);
    bus.connected = false;
    await clock.advance(2000);
    expect(absence.presentSinceMs()).toBeUndefined();
    expect(returns).toEqual([]);
    bus.connected = true;
    await clock.advance(1000);
    expect(returns).toHaveLength(1);
    expect(absence.presentSinceMs()).toBe(3250);
  });

  test("reports nothing after it was stopped", async () => {
    const { clock, bus, returns, absence } = watched();
    absence.stop();
    bus.connected = false;
    await clock.advance(1000);
    bus.connected = true;
    await clock.advance(1000);
    expect(returns).toEqual([]);
  });
});
