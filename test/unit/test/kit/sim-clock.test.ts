// Simulated time, and the seeded generator of random numbers.
import { describe, expect, test } from "vitest";
import { repeat, sleep } from "../../../../libs/runtime/clock.ts";
import { createRandom, forkRandom, integerBetween, pickOne } from "../../../kit/random.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

describe("createSimClock", () => {
  test("advances only on demand, from timer to timer", async () => {
    const clock = createSimClock();
    const seen: string[] = [];
    clock.after(20, () => seen.push(`b at ${clock.monotonic()}`));
    clock.after(10, () => seen.push(`a at ${clock.monotonic()}`));
    clock.after(3_600_000, () => seen.push("an hour later"));
    expect(seen).toEqual([]);
    await clock.advance(10);
    expect(seen).toEqual(["a at 10"]);
    await clock.advance(10);
    expect(seen).toEqual(["a at 10", "b at 20"]);
    const began = clock.now();
    await clock.advance(3_600_000);
    expect(seen).toHaveLength(3);
    expect(clock.now() - began).toBe(3_600_000);
  });

  test("calls timers of the same time in the order in which they were set", async () => {
    const clock = createSimClock();
    const seen: number[] = [];
    for (let index = 0; index < 50; index++) clock.after(5, () => seen.push(index));
    await clock.advance(5);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  test("calls timers in the order of time, however they were set", async () => {
    const random = createRandom(7);
    const clock = createSimClock();
    const seen: number[] = [];
    const times = Array.from({ length: 500 }, () => integerBetween(random, 0, 100));
    for (const ms of times) clock.after(ms, () => seen.push(ms));
    await clock.advance(100);
    expect(seen).toEqual([...times].sort((a, b) => a - b));
  });

  test("never calls a cancelled timer, not even one of the same time", async () => {
    const clock = createSimClock();
    const seen: string[] = [];
    const cancel = clock.after(5, () => seen.push("cancelled"));
    clock.after(4, () => cancel());
    let cancelSecond = () => {};
    clock.after(5, () => cancelSecond());
    cancelSecond = clock.after(5, () => seen.push("cancelled too"));
    await clock.advance(10);
    expect(seen).toEqual([]);
  });

  test("runs every ready promise before the next timer", async () => {
    const clock = createSimClock();
    const seen: string[] = [];
    const chain = async (name: string) => {
      for (let index = 0; index < 100; index++) await null;
      process.nextTick(() => Promise.resolve().then(() => seen.push(name)));
    };
    clock.after(1, () => void chain("first"));
    clock.after(1, () => seen.push("second"));
    await clock.advance(1);
    expect(seen).toEqual(["first", "second"]);
  });

  test("runs timers set by timers in the same advance", async () => {
    const clock = createSimClock();
    let done = false;
    void (async () => {
      for (let index = 0; index < 5; index++) await sleep(clock, 100);
      done = true;
    })();
    await clock.advance(499);
    expect(done).toBe(false);
    await clock.advance(1);
    expect(done).toBe(true);
  });

  test("runs until a condition holds, and no further", async () => {
    const clock = createSimClock();
    let count = 0;
    const stop = repeat(
      clock,
      1000,
      () => {
        count += 1;
      },
      () => {},
    );
    expect(await clock.runUntil(() => count === 3, 60_000)).toBe(true);
    expect([count, clock.monotonic()]).toEqual([3, 3000]);
    expect(await clock.runUntil(() => count === 100, 5000)).toBe(false);
    expect(count).toBe(8);
    stop();
    expect(await clock.runUntil(() => false, 60_000)).toBe(false);
    expect(count).toBe(8);
  });

  test("runs an hour of busy timers within seconds", async () => {
    const clock = createSimClock();
    let count = 0;
    repeat(
      clock,
      100,
      () => {
        count += 1;
      },
      () => {},
    );
    const startedAt = performance.now();
    await clock.advance(3_600_000);
    expect(count).toBe(36_000);
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });

  test("ends the run with an error from a timer", async () => {
    const clock = createSimClock();
    clock.after(1, () => {
      throw new Error("an assertion");
    });
    await expect(clock.advance(2)).rejects.toThrow("an assertion");
  });
});

describe("SimClock.forProcess", () => {
  test("allows a wrong wall clock, with correct durations", async () => {
    const clock = createSimClock();
    await clock.advance(500);
    const wrong = clock.forProcess(-3_600_000);
    expect(wrong.now()).toBe(clock.now() - 3_600_000);
    const from = wrong.monotonic();
    await clock.advance(250);
    expect(wrong.monotonic() - from).toBe(250);
  });

  test("never calls timers of a killed process, but calls those of others", async () => {
    const clock = createSimClock();
    const [doomed, other] = [clock.forProcess(), clock.forProcess()];
    const seen: string[] = [];
    doomed.after(10, () => seen.push("doomed"));
    other.after(10, () => seen.push("other"));
    doomed.kill();
    doomed.after(10, () => seen.push("doomed too"));
    await clock.advance(20);
    expect(seen).toEqual(["other"]);
  });

  test("calls timers of a paused process when it resumes, except those that are cancelled then", async () => {
    const clock = createSimClock();
    const frozen = clock.forProcess();
    const seen: string[] = [];
    frozen.after(10, () => {
      seen.push(`a at ${clock.monotonic()}`);
      cancel();
    });
    const cancel = frozen.after(20, () => seen.push("cancelled"));
    frozen.after(30, () => seen.push(`c at ${clock.monotonic()}`));
    frozen.pause();
    await clock.advance(100);
    expect(seen).toEqual([]);
    frozen.resume();
    await clock.advance(1);
    expect(seen).toEqual(["a at 100", "c at 100"]);
  });
});

describe("createRandom", () => {
  test("gives the same numbers for the same seed, and others for another", () => {
    const numbers = (seed: number) => {
      const random = createRandom(seed);
      return Array.from({ length: 100 }, () => random());
    };
    expect(numbers(1)).toEqual(numbers(1));
    expect(numbers(1)).not.toEqual(numbers(2));
    expect(numbers(0)).not.toEqual(numbers(1));
    for (const number of numbers(3)) {
      expect(number).toBeGreaterThanOrEqual(0);
      expect(number).toBeLessThan(1);
    }
  });

  test("distributes numbers evenly, including the first ones of neighboring seeds", () => {
    const buckets = Array.from({ length: 10 }, () => 0);
    const add = (number: number) => {
      const index = Math.floor(number * 10);
      buckets[index] = (buckets[index] ?? 0) + 1;
    };
    const random = createRandom(42);
    for (let index = 0; index < 10_000; index++) add(random());
    for (let seed = 0; seed < 10_000; seed++) add(createRandom(seed)());
    for (const count of buckets) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });

  test("gives each part of a run its own numbers", () => {
    const one = forkRandom(5, "network");
    const two = forkRandom(5, "users");
    expect([one(), one()]).not.toEqual([two(), two()]);
    expect(forkRandom(5, "network")()).toBe(forkRandom(5, "network")());
  });

  test("includes both bounds of whole numbers, and picks every item", () => {
    const random = createRandom(9);
    const numbers = new Set(Array.from({ length: 200 }, () => integerBetween(random, 2, 4)));
    expect([...numbers].sort()).toEqual([2, 3, 4]);
    const picked = new Set(Array.from({ length: 200 }, () => pickOne(random, ["a", "b", "c"])));
    expect([...picked].sort()).toEqual(["a", "b", "c"]);
  });
});
