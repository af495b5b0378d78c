// Which delivery to an endpoint comes next, and what follows from how one went.
import { describe, expect, test } from "vitest";
import { AT_ONCE, DeliveryPlan, GIVE_UP_MS, WINDOW } from "../../../../services/webhooks/delivery-plan.ts";

const EMPTY = { cursor: 0, lanes: [], failures: 0, delivered: 0 };
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A plan with some messages, each as session:place. */
function planOf(...messages: string[]): DeliveryPlan {
  const plan = new DeliveryPlan(EMPTY, 0);
  for (const message of messages) {
    const [of = "", place] = message.split(":");
    plan.add(Number(place), of, 0);
  }
  return plan;
}
const sent = (plan: DeliveryPlan, nowMs: number) => plan.due(nowMs).map(({ sequence }) => sequence);

/** Lets time pass in which each try comes to nothing. @returns the time of the last one */
function failUntilDead(
  plan: DeliveryPlan,
  fromMs: number,
): { atMs: number; tries: number; isHopeless: boolean } {
  let nowMs = fromMs;
  for (let tries = 1; tries < 1000; tries++) {
    const nextMs = plan.nextAtMs(nowMs);
    if (nextMs === undefined) throw new Error("nothing waits");
    nowMs = nextMs;
    const [one] = plan.due(nowMs);
    if (one === undefined) throw new Error(`nothing is due at ${nowMs}`);
    const then = plan.failed(one.key, nowMs);
    if (then.becomes === "dead") return { atMs: nowMs, tries, isHopeless: then.isHopeless };
  }
  throw new Error("it is never given up");
}

describe("order", () => {
  test("a session's events go one after the other, different sessions' side by side", () => {
    const plan = planOf("a:1", "a:2", "b:3");
    expect(sent(plan, 0)).toEqual([1, 3]);
    expect(sent(plan, 0)).toEqual([]);
    plan.delivered("a", 0);
    expect(sent(plan, 0)).toEqual([2]);
  });

  test("no more than so many are sent at once", () => {
    const plan = planOf(...Array.from({ length: 20 }, (_, i) => `s${i}:${i + 1}`));
    expect(sent(plan, 0)).toHaveLength(AT_ONCE);
    plan.delivered("s0", 0);
    expect(sent(plan, 0)).toEqual([AT_ONCE + 1]);
  });

  test("a failure holds back its own session and no other", () => {
    const plan = planOf("a:1", "a:2", "b:3", "b:4");
    plan.due(0);
    plan.failed("a", 0);
    plan.delivered("b", 0);
    expect(sent(plan, 1)).toEqual([4]);
    expect(sent(plan, 5000)).toEqual([1]);
  });

  test("what fails again and again, while others are taken, holds up its session no longer", () => {
    const plan = planOf("a:1", "a:2", "a:3");
    let nowMs = 0;
    for (let tries = 1; tries <= 4; tries++) {
      nowMs = plan.nextAtMs(nowMs) ?? 0;
      expect(sent(plan, nowMs)).toEqual([1]);
      plan.failed("a", nowMs);
      // Another session's are taken meanwhile.
      plan.add(10 + tries, "b", nowMs);
      expect(sent(plan, nowMs)).toEqual(tries < 4 ? [10 + tries] : [2, 10 + tries]);
      plan.delivered("b", nowMs);
    }
    plan.delivered("a", nowMs);
    expect(sent(plan, nowMs)).toEqual([3]);
    expect(plan.sequences).toEqual([1, 3]);
  });
});

describe("an endpoint that is down", () => {
  const down = () => {
    const plan = planOf(...Array.from({ length: 20 }, (_, i) => `s${i}:${i + 1}`));
    for (const { key } of plan.due(0)) plan.failed(key, 0);
    return plan;
  };

  test("is asked by one message at a time, and not at once again", () => {
    const plan = down();
    expect(plan.failures).toBe(AT_ONCE);
    expect(sent(plan, 10)).toEqual([]);
    expect(sent(plan, 2 * MINUTE_MS)).toHaveLength(1);
    expect(sent(plan, 2 * MINUTE_MS)).toHaveLength(0);
  });

  test("is asked within five minutes even when nothing is due for hours", () => {
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

  test("is told all that waited as soon as it takes one again", () => {
    const plan = down();
    const [probe] = plan.due(2 * MINUTE_MS);
    plan.delivered(probe?.key ?? "", 2 * MINUTE_MS);
    expect(sent(plan, 2 * MINUTE_MS)).toHaveLength(AT_ONCE);
  });

  test("keeps the order of a session, however often its first event failed", () => {
    const plan = planOf("a:1", "a:2");
    for (let nowMs = 0; nowMs < 6 * HOUR_MS; nowMs = plan.nextAtMs(nowMs) ?? 0)
      for (const { key } of plan.due(nowMs)) plan.failed(key, nowMs);
    const nowMs = plan.nextAtMs(6 * HOUR_MS) ?? 0;
    expect(sent(plan, nowMs)).toEqual([1]);
    plan.delivered("a", nowMs);
    expect(sent(plan, nowMs)).toEqual([2]);
  });

  test("that asks for a pause is given it, though no longer than an hour", () => {
    const plan = planOf("a:1", "b:2");
    plan.due(0);
    expect(plan.failed("a", 0, 20 * MINUTE_MS)).toEqual({ becomes: "failed", nextInMs: 20 * MINUTE_MS });
    plan.delivered("b", 0);
    plan.add(3, "b", 0);
    expect(sent(plan, 19 * MINUTE_MS)).toEqual([]);
    expect(sent(plan, 20 * MINUTE_MS).sort()).toEqual([1, 3]);
    plan.failed("a", 20 * MINUTE_MS, 48 * HOUR_MS);
    expect(plan.nextAtMs(20 * MINUTE_MS)).toBe(80 * MINUTE_MS);
  });
});

describe("giving up", () => {
  test("comes after a day of tries, and shows that the endpoint took nothing all that time", () => {
    const { atMs, tries, isHopeless } = failUntilDead(planOf("a:1"), 0);
    expect(atMs).toBeGreaterThanOrEqual(GIVE_UP_MS);
    expect(atMs).toBeLessThan(GIVE_UP_MS + 3 * HOUR_MS);
    expect(tries).toBeGreaterThan(10);
    expect(isHopeless).toBe(true);
  });

  test("of one event, while others are taken, says nothing against the endpoint", () => {
    const plan = planOf("a:1");
    let place = 1;
    for (let nowMs = 0; ; nowMs += 5 * MINUTE_MS) {
      plan.add(++place, "b", nowMs);
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

  test("an endpoint that refuses one kind of event for ever still gets the others", () => {
    const plan = new DeliveryPlan(EMPTY, 0);
    let place = 0;
    let refused = 0;
    let taken = 0;
    for (let nowMs = 0; nowMs < 12 * HOUR_MS; nowMs += 30_000) {
      if (plan.room >= 2) {
        plan.add(++place, `bad${place}`, nowMs);
        plan.add(++place, `good${place}`, nowMs);
      }
      for (const { key } of plan.due(nowMs)) {
        if (key.startsWith("good")) {
          plan.delivered(key, nowMs);
          taken += 1;
        } else if (plan.failed(key, nowMs).becomes === "dead") refused += 1;
      }
    }
    expect(taken).toBeGreaterThan(1000);
    expect(refused).toBeGreaterThan(500);
    expect(plan.room).toBeGreaterThan(0);
  });
});

describe("what is stored", () => {
  test("goes on where it was: what was being sent is sent again, the waits go on", () => {
    const plan = planOf("a:1", "a:2", "b:3");
    plan.due(0);
    plan.failed("a", 0);
    const next = new DeliveryPlan(plan.stored(1000), 1_000_000);
    expect(sent(next, 1_000_000)).toEqual([3]);
    next.delivered("b", 1_000_000);
    expect(sent(next, 1_003_999)).toEqual([]);
    expect(sent(next, 1_004_000)).toEqual([1]);
    expect(next.cursor).toBe(3);
  });

  test("a day of tries is a day also when the owner changes every hour", () => {
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

  test("no more is taken in hand than the window has", () => {
    const plan = new DeliveryPlan(EMPTY, 0);
    for (let place = 1; plan.room > 0; place++) plan.add(place, "a", 0);
    expect(plan.sequences).toHaveLength(WINDOW);
    plan.due(0);
    plan.delivered("a", 0);
    expect(plan.room).toBe(1);
  });

  test("a message that is stored no more is passed over", () => {
    const plan = planOf("a:1", "a:2", "b:3");
    plan.drop(1);
    plan.drop(3);
    expect(sent(plan, 0)).toEqual([2]);
    expect(plan.sequences).toEqual([2]);
  });
});
