// Repeated work on a clock: never twice at once, despite failures, until stopped. Coarse timers fire together.
import { afterEach, expect, test, vi } from "vitest";
import { isoNow, repeat, sleep, systemClock } from "../../../../libs/runtime/clock.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

const never = (error: unknown) => {
  throw error;
};

test("repeats work, first after one interval", async () => {
  const clock = createSimClock();
  const at: number[] = [];
  repeat(clock, 100, () => void at.push(clock.monotonic()), never);
  await clock.advance(350);
  expect(at).toEqual([100, 200, 300]);
});

test("starts an interval when the previous call has ended, so that calls never overlap", async () => {
  const clock = createSimClock();
  const events: string[] = [];
  repeat(
    clock,
    100,
    async () => {
      events.push(`begins at ${clock.monotonic()}`);
      await sleep(clock, 250);
      events.push(`ends at ${clock.monotonic()}`);
    },
    never,
  );
  await clock.advance(800);
  expect(events).toEqual(["begins at 100", "ends at 350", "begins at 450", "ends at 700", "begins at 800"]);
});

test("reports a failure and continues, whether it is thrown or rejected", async () => {
  const clock = createSimClock();
  const errors: string[] = [];
  let calls = 0;
  repeat(
    clock,
    10,
    () => {
      calls += 1;
      if (calls === 1) throw new Error("thrown");
      return calls === 2 ? Promise.reject(new Error("later")) : undefined;
    },
    (error) => errors.push((error as Error).message),
  );
  await clock.advance(45);
  expect(calls).toBe(4);
  expect(errors).toEqual(["thrown", "later"]);
});

test("calls nothing after it was stopped, even during a call", async () => {
  const clock = createSimClock();
  let calls = 0;
  const stop = repeat(
    clock,
    10,
    async () => {
      calls += 1;
      await sleep(clock, 5);
    },
    never,
  );
  await clock.advance(12);
  stop();
  await clock.advance(1000);
  expect(calls).toBe(1);
  const at: number[] = [];
  const stopEarly = repeat(clock, 10, () => void at.push(1), never);
  stopEarly();
  await clock.advance(1000);
  expect(at).toEqual([]);
});

test("formats the present time in ISO", async () => {
  const clock = createSimClock();
  expect(isoNow(clock)).toBe("2026-01-01T00:00:00.000Z");
  await clock.advance(1500);
  expect(isoNow(clock)).toBe("2026-01-01T00:00:01.500Z");
});

afterEach(() => void vi.useRealTimers());

test("repeats all periodic work of a process at the same moments, and keeps each interval", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const started = performance.now();
  const calls = new Map<number, number>();
  const moments = new Set<number>();
  for (const ms of [250, 500, 1000, 2000]) {
    repeat(
      systemClock,
      ms,
      () => {
        calls.set(ms, (calls.get(ms) ?? 0) + 1);
        moments.add(Math.round(performance.now() - started));
      },
      never,
    );
    await vi.advanceTimersByTimeAsync(37);
  }
  await vi.advanceTimersByTimeAsync(20_000 - 4 * 37);
  expect(moments.size).toBeLessThanOrEqual(80);
  for (const ms of [250, 500, 1000, 2000]) {
    expect(calls.get(ms)).toBeGreaterThanOrEqual(20_000 / ms - 1);
    expect(calls.get(ms)).toBeLessThanOrEqual(20_000 / ms);
  }
});

test("fires other timers when they are due", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const started = performance.now();
  const fired: number[] = [];
  for (const ms of [260, 300, 1010]) systemClock.after(ms, () => fired.push(performance.now() - started));
  await vi.advanceTimersByTimeAsync(2000);
  expect(fired).toEqual([260, 300, 1010]);
});
