// Order of deliveries to an endpoint, and the consequences of each.
import { describe, expect, test } from "vitest";
import {
  DeliveryPlan,
  GIVE_UP_MS,
  MAX_CONCURRENT,
  WINDOW,
} from "../../../../services/webhooks/delivery-plan.ts";

const EMPTY = { cursor: 0, lanes: [], failures: 0, delivered: 0 };
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A plan with some messages, each as session:sequence. */
function planOf(...messages: string[]): DeliveryPlan {
  const plan = new DeliveryPlan(EMPTY, 0);
  for (const message of messages) {
    const [of = "", sequence] = message.split(":");
    plan.add(Number(sequence), of, 0);
  }
  return plan;
}
const due = (plan: DeliveryPlan, nowMs: number) => plan.due(nowMs).map(({ sequence }) => sequence);

/** Lets time pass in which each try fails. @returns the time of the last try */
function failUntilDead(
  plan: DeliveryPlan,
  fromMs: number,
): { atMs: number; tries: number; isHopeless: boolean } {
  let nowMs = fromMs;
  for (let tries = 1; tries < 1000; tries++) {
    const nextMs = plan.nextAtMs(nowMs);
    if (nextMs === undefined) throw new Error("no delivery is pending");
    nowMs = nextMs;
    const [one] = plan.due(nowMs);
    if (one === undefined) throw new Error(`nothing is due at ${nowMs}`);
    const then = plan.failed(one.key, nowMs);
    if (then.becomes === "dead") return { atMs: nowMs, tries, isHopeless: then.isHopeless };
  }
  throw new Error("the plan never gives up");
}

describe("DeliveryPlan, order", () => {
  test("sends a session's events one after the other, and those of different sessions in parallel", () => {
    const plan = planOf("a:1", "a:2", "b:3");
    expect(due(plan, 0)).toEqual([1, 3]);
    expect(due(plan, 0)).toEqual([]);
    plan.delivered("a", 0);
    expect(due(plan, 0)).toEqual([2]);
  });

  test("limits the number of parallel deliveries", () => {
    const plan = planOf(...Array.from({ length: 20 }, (_, i) => `s${i}:${i + 1}`));
    expect(due(plan, 0)).toHaveLength(MAX_CONCURRENT);
    plan.delivered("s0", 0);
    expect(due(plan, 0)).toEqual([MAX_CONCURRENT + 1]);
  });

  test("delays only the session whose delivery failed", () => {
    const plan = planOf("a:1", "a:2", "b:3", "b:4");
    plan.due(0);
    plan.failed("a", 0);
    plan.delivered("b", 0);
    expect(due(plan, 1)).toEqual([4]);
    expect(due(plan, 5000)).toEqual([1]);
  });

  test("skips an event that keeps failing while the endpoint accepts others", () => {
    const plan = planOf("a:1", "a:2", "a:3");
    let nowMs = 0;
    for (let tries = 1; tries <= 4; tries++) {
      nowMs = plan.nextAtMs(nowMs) ?? 0;
      expect(due(plan, nowMs)).toEqual([1]);
      plan.failed("a", nowMs);
      // The endpoint accepts events of another session.
      plan.add(10 + tries, "b", nowMs);
      expect(due(plan, nowMs)).toEqual(tries < 4 ? [10 + tries] : [2, 10 + tries]);
      plan.delivered("b", nowMs);
    }
    plan.delivered("a", nowMs);
    expect(due(plan, nowMs)).toEqual([3]);
    expect(plan.sequences).toEqual([1, 3]);
  });
});

describe("DeliveryPlan, an endpoint that is down", () => {
  const down = () => {
    const plan = planOf(...Array.from({ length: 20 }, (_, i) => `s${i}:${i + 1}`));
    for (const { key } of plan.due(0)) plan.failed(key, 0);
    return plan;
  };

  test("probes the endpoint with one message at a time, after a pause", () => {
    const plan = down();
    expect(plan.failures).toBe(MAX_CONCURRENT);
    expect(due(plan, 10)).toEqual([]);
    expect(due(plan, 2 * MINUTE_MS)).toHaveLength(1);
    expect(due(plan, 2 * MINUTE_MS)).toHaveLength(0);
  });

  test("probes the endpoint at least every five minutes, even when nothing is due for hours", () => {
    const plan = planOf("a:1");
    let nowMs = 0;
    let longestMs = 0;
    while (nowMs < 10 * HOUR_MS) {
      const nextMs = plan.nextAtMs(nowMs) ?? 0;
      longestMs = Math.max(longestMs, nextMs - nowMs);
      nowMs = nextMs;
      for (const { key } of plan.due(nowMs)) plan.failed(key, nowMs);
    }
    expect(longestMs).toBeLessThanOrEqual(5 * MINUTE_MS);
    expect(longestMs).toBeGreaterThan(MINUTE_MS);
  });

  test("sends everything pending as soon as a probe succeeds", () => {
    const plan = down();
    const [probe] = plan.due(2 * MINUTE_MS);
    plan.delivered(probe?.key ?? "", 2 * MINUTE_MS);
    expect(due(plan, 2 * MINUTE_MS)).toHaveLength(MAX_CONCURRENT);
  });

  test("keeps the order of a session, however often its first event failed", () => {
    const plan = planOf("a:1", "a:2");
    for (let nowMs = 0; nowMs < 6 * HOUR_MS; nowMs = plan.nextAtMs(nowMs) ?? 0)
      for (const { key } of plan.due(nowMs)) plan.failed(key, nowMs);
    const nowMs = plan.nextAtMs(6 * HOUR_MS) ?? 0;
    expect(due(plan, nowMs)).toEqual([1]);
    plan.delivered("a", nowMs);
    expect(due(plan, nowMs)).toEqual([2]);
  });

  test("respects Retry-After up to an hour", () => {
    const plan = planOf("a:1", "b:2");
    plan.due(0);
    expect(plan.failed("a", 0, 20 * MINUTE_MS)).toEqual({ becomes: "failed", nextInMs: 20 * MINUTE_MS });
    plan.delivered("b", 0);
    plan.add(3, "b", 0);
    expect(due(plan, 19 * MINUTE_MS)).toEqual([]);
    expect(due(plan, 20 * MINUTE_MS).sort()).toEqual([1, 3]);
    plan.failed("a", 20 * MINUTE_MS, 48 * HOUR_MS);
    expect(plan.nextAtMs(20 * MINUTE_MS)).toBe(80 * MINUTE_MS);
  });
});

describe("DeliveryPlan, giving up", () => {
  test("gives up after a day of tries, and reports an endpoint that accepted nothing", () => {
    const { atMs, tries, isHopeless } = failUntilDead(planOf("a:1"), 0);
    expect(atMs).toBeGreaterThanOrEqual(GIVE_UP_MS);
    expect(atMs).toBeLessThan(GIVE_UP_MS + 3 * HOUR_MS);
    expect(tries).toBeGreaterThan(10);
    expect(isHopeless).toBe(true);
  });

  test("gives up on one event without blaming an endpoint that accepts others", () => {
    const plan = planOf("a:1");
    let sequence = 1;
    for (let nowMs = 0; ; nowMs += 5 * MINUTE_MS) {
      plan.add(++sequence, "b", nowMs);
      for (const { key } of plan.due(nowMs)) {
        if (key === "b") plan.delivered(key, nowMs);
        else {
          const then = plan.failed(key, nowMs);
          if (then.becomes !== "dead") continue;
          expect(nowMs).toBeGreaterThanOrEqual(GIVE_UP_MS);
          expect(then.isHopeless).toBe(false);
          expect(plan.sequences).not.toContain(1);
          return;
        }
      }
    }
  });

  test("still delivers other events when an endpoint rejects one kind forever", () => {
    const plan = new DeliveryPlan(EMPTY, 0);
    let sequence = 0;
    let givenUp = 0;
    let delivered = 0;
    for (let nowMs = 0; nowMs < 12 * HOUR_MS; nowMs += 30_000) {
      if (plan.room >= 2) {
        plan.add(++sequence, `bad${sequence}`, nowMs);
        plan.add(++sequence, `good${sequence}`, nowMs);
      }
      for (const { key } of plan.due(nowMs)) {
        if (key.startsWith("good")) {
          plan.delivered(key, nowMs);
          delivered += 1;
        } else if (plan.failed(key, nowMs).becomes === "dead") givenUp += 1;
      }
    }
    expect(delivered).toBeGreaterThan(1000);
    expect(givenUp).toBeGreaterThan(500);
    expect(plan.room).toBeGreaterThan(0);
  });
});

describe("DeliveryPlan, stored", () => {
  test("continues from its stored state: interrupted deliveries are repeated, and waits go on", () => {
    const plan = planOf("a:1", "a:2", "b:3");
    plan.due(0);
    plan.failed("a", 0);
    const next = new DeliveryPlan(plan.stored(1000), 1_000_000);
    expect(due(next, 1_000_000)).toEqual([3]);
    next.delivered("b", 1_000_000);
    expect(due(next, 1_003_999)).toEqual([]);
    expect(due(next, 1_004_000)).toEqual([1]);
    expect(next.cursor).toBe(3);
  });

  test("gives up after a day of tries, even if the owner changes every hour", () => {
    let plan = planOf("a:1");
    for (let nowMs = 0; ; nowMs += 60_000) {
      if (nowMs % HOUR_MS === 0) plan = new DeliveryPlan(plan.stored(nowMs), nowMs);
      for (const { key } of plan.due(nowMs)) {
        if (plan.failed(key, nowMs).becomes !== "dead") continue;
        expect(nowMs).toBeGreaterThanOrEqual(GIVE_UP_MS);
        expect(nowMs).toBeLessThan(GIVE_UP_MS + 3 * HOUR_MS);
        return;
      }
    }
  });

  test("holds no more messages than its window", () => {
    const plan = new DeliveryPlan(EMPTY, 0);
    for (let sequence = 1; plan.room > 0; sequence++) plan.add(sequence, "a", 0);
    expect(plan.sequences).toHaveLength(WINDOW);
    plan.due(0);
    plan.delivered("a", 0);
    expect(plan.room).toBe(1);
  });

  test("skips messages that are no longer stored", () => {
    const plan = planOf("a:1", "a:2", "b:3");
    plan.drop(1);
    plan.drop(3);
    expect(due(plan, 0)).toEqual([2]);
    expect(plan.sequences).toEqual([2]);
  });
});
