// The checks of what a chaos run leaves each see their own defect: 12, 13 and 14; a healthy run has none.
import { describe, expect, test } from "vitest";
import { checkEvidence } from "../../../../full/chaos/check-evidence.ts";
import type { Draft } from "../../../../kit/fixtures/chaos-story.ts";
import { healthyRun } from "../../../../kit/fixtures/healthy-run.ts";
import { eventOf, foundIn, writesOf } from "../../../../kit/fixtures/spoilt-run.ts";

test("nothing is wrong with a healthy run", () => {
  expect(checkEvidence(healthyRun())).toEqual([]);
});

describe("12: roll-ups are what the records give", () => {
  test.each([
    [
      "a session that is counted twice",
      (draft: Draft) => void Object.assign(draft.remains.rollups[0]!, { sessions: 9 }),
    ],
    ["a roll-up that is missing", (draft: Draft) => void draft.remains.rollups.pop()],
    [
      "a reason that is wrong",
      (draft: Draft) => void Object.assign(draft.remains.rollups[0]!, { byReason: { idle: 1 } }),
    ],
  ])("%s is told", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([12]);
  });

  test("the order of its counts says nothing", () => {
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
      "a message that isn't settled",
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
      "a message that is buried twice",
      (draft: Draft) => {
        draft.remains.deadLetters.push({ ...draft.remains.deadLetters[0]! });
      },
    ],
    [
      "nonsense that the product itself said",
      (draft: Draft) => {
        delete draft.events.find(({ forgery }) => forgery === "nonsense")!.forgery;
      },
    ],
  ])("%s is told", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([13]);
  });
});

describe("14: no limit passes early", () => {
  test("an overdue that is said too soon is told, with the limit", () => {
    const { invariants, words } = foundIn((draft) => {
      eventOf(draft, "slow", "deadline_exceeded").storedAtMs = 55_060;
    });
    expect(invariants).toEqual([14]);
    expect(words).toMatch(/missed deadline \(join\) of slow#2, dispatched for 3000 of 10000 ms/);
  });

  test("a telephone that is busy needs no limit to say that nobody came", () => {
    const { words } = foundIn((draft) => {
      const overdue = eventOf(draft, "slow", "deadline_exceeded");
      overdue.storedAtMs = 55_060;
      Object.assign(overdue.event!, { kind: "user_absent" });
      for (const { record } of writesOf(draft, "slow")) record!.call = { to: "+15550100" };
    });
    expect(words).not.toMatch(/missed deadline/);
  });
});
