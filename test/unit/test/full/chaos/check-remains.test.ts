// The checks of what a chaos run leaves, each against a planted defect: 12, 13 and 14; and a healthy run.
import { describe, expect, test } from "vitest";
import { checkEvidence } from "../../../../full/chaos/check-evidence.ts";
import type { Draft } from "../../../../kit/fixtures/chaos-story.ts";
import { healthyRun } from "../../../../kit/fixtures/healthy-run.ts";
import { eventOf, foundIn, writesOf } from "../../../../kit/fixtures/spoilt-run.ts";

test("finds nothing in a healthy run", () => {
  expect(checkEvidence(healthyRun())).toEqual([]);
});

describe("12: rollups agree with the records", () => {
  test.each([
    [
      "a session counted twice",
      (draft: Draft) => void Object.assign(draft.remains.rollups[0]!, { sessions: 9 }),
    ],
    ["a missing rollup", (draft: Draft) => void draft.remains.rollups.pop()],
    [
      "a wrong reason",
      (draft: Draft) => void Object.assign(draft.remains.rollups[0]!, { byReason: { idle: 1 } }),
    ],
  ])("reports %s", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([12]);
  });

  test("ignores the order of counts", () => {
    const { invariants } = foundIn(({ remains }) => {
      for (const rollup of remains.rollups)
        rollup.byWarmth = Object.fromEntries(Object.entries(rollup.byWarmth).reverse());
    });
    expect(invariants).toEqual([]);
  });
});

describe("13: nothing is stuck", () => {
  test.each([
    [
      "an unacknowledged message",
      (draft: Draft) => void Object.assign(draft.remains.consumers[0]!, { ackPending: 1 }),
    ],
    ["nonsense without a dead letter", (draft: Draft) => void draft.remains.deadLetters.pop()],
    [
      "a good message among the dead letters",
      (draft: Draft) => {
        draft.remains.deadLetters.push({ ...draft.remains.deadLetters[0]!, sequence: 1 });
      },
    ],
    [
      "a message stored twice as a dead letter",
      (draft: Draft) => {
        draft.remains.deadLetters.push({ ...draft.remains.deadLetters[0]! });
      },
    ],
    [
      "nonsense from the product itself",
      (draft: Draft) => {
        delete draft.events.find(({ forgery }) => forgery === "nonsense")!.forgery;
      },
    ],
  ])("reports %s", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([13]);
  });
});

describe("14: no deadline passes early", () => {
  test("reports a deadline_exceeded that comes too soon, with the deadline", () => {
    const { invariants, message } = foundIn((draft) => {
      eventOf(draft, "slow", "deadline_exceeded").storedAtMs = 55_060;
    });
    expect(invariants).toEqual([14]);
    expect(message).toMatch(/missed deadline \(join\) of slow#2, dispatched for 3000 of 10000 ms/);
  });

  test("accepts a busy phone without a deadline", () => {
    const { message } = foundIn((draft) => {
      const exceeded = eventOf(draft, "slow", "deadline_exceeded");
      exceeded.storedAtMs = 55_060;
      Object.assign(exceeded.event!, { kind: "user_absent" });
      for (const { record } of writesOf(draft, "slow")) record!.call = { to: "+15550100" };
    });
    expect(message).not.toMatch(/missed deadline/);
  });
});
