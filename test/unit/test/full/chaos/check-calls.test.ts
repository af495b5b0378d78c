// The checks of tasks, telephone calls and call records of a chaos run each see their own defect: 1, 2, 9, 10, 12 and 15.
import { describe, expect, test } from "vitest";
import type { Draft } from "../../../../kit/fixtures/chaos-story.ts";
import { foundIn } from "../../../../kit/fixtures/spoilt-run.ts";

const taskOf = ({ remains }: Draft) => remains.tasks[0]!;

test("a task that was accepted and isn't there is told", () => {
  const { invariants, words } = foundIn((draft) => {
    draft.remains.tasks = [];
    draft.remains.dialed = [];
  });
  expect(invariants).toEqual([1]);
  expect(words).toBe("task called, accepted at 1.0 s, does not exist");
});

test("a task that goes on in the end is told", () => {
  const { invariants, words } = foundIn(
    (draft) => void Object.assign(taskOf(draft), { state: "inProgress" }),
  );
  expect(invariants).toEqual([2]);
  expect(words).toBe("task called is still inProgress in its attempt 2 after its cancellation");
});

test("two tasks of one key are told", () => {
  const { invariants } = foundIn((draft) => {
    draft.remains.tasks.push({ ...taskOf(draft), taskId: "another", attempts: [] });
    draft.sentTasks[1]!.taskId = "another";
  });
  expect(invariants).toEqual([10]);
});

describe("15: nobody is called twice", () => {
  test("two calls of one attempt are told", () => {
    const { invariants, words, sessions } = foundIn(({ remains }) => {
      remains.dialed.push({ ...remains.dialed[0]!, id: "once more", atMs: 7000 });
    });
    expect(invariants).toEqual([15]);
    expect(words).toBe("+15550100 was called at 1.0 s and 7.0 s for one attempt of task t.called");
    expect(sessions).toEqual(["called-1"]);
  });

  test("a second conversation of one task is told", () => {
    const { invariants, words } = foundIn(({ remains }) => {
      remains.dialed[0]!.wasAnswered = true;
    });
    expect(invariants).toEqual([15]);
    expect(words).toBe("+15550100 answered 2 calls of task t.called");
  });

  test("a call that no task wanted is told", () => {
    const { invariants, words } = foundIn(({ remains }) => {
      remains.dialed.push({ ...remains.dialed[0]!, id: "stray", name: "somebody's" });
    });
    expect(invariants).toEqual([15]);
    expect(words).toContain("without a task");
  });
});

describe("9: no call outlives its session", () => {
  test("one that goes on is told", () => {
    const { invariants, words } = foundIn(({ remains }) => {
      remains.dialed[1]!.isLive = true;
    });
    expect(invariants).toEqual([9]);
    expect(words).toBe("the call to +15550100 continues at the end");
  });

  test("so is a launch of a session that has ended, but not one of which nobody can tell", () => {
    const launch = (state: "launched" | "unknown") =>
      foundIn(({ remains }) => {
        remains.launches.push({
          v: 1,
          tenant: "t",
          sessionId: "calm",
          attempt: 1,
          provider: "vapi",
          profile: "phone",
          state,
          by: "providers-1",
          takeovers: 0,
          at: "2026-01-01T12:00:00.000Z",
          writeId: "providers-1:1",
        });
      });
    expect(launch("launched")).toMatchObject({
      invariants: [9],
      words: "the launch for calm#1 is launched at the end",
    });
    expect(launch("unknown").invariants).toEqual([]);
  });
});

describe("12: call records and key figures are what the records give", () => {
  test.each([
    ["a call that is missing", "has no call record", (draft: Draft) => void draft.remains.calls.pop()],
    [
      "one that is there twice",
      "has 2 call records",
      (draft: Draft) => void draft.remains.calls.push(draft.remains.calls[0]!),
    ],
    [
      "one of another outcome",
      'differs: outcome "failed", but its sources give',
      (draft: Draft) => void Object.assign(draft.remains.calls[0]!, { outcome: "failed" }),
    ],
    [
      "one of a session that never was",
      "did not end",
      (draft: Draft) => void draft.remains.calls.push({ ...draft.remains.calls[0]!, sessionId: "nobody" }),
    ],
    [
      "a day's figures that don't agree",
      "the key figures t.2026-01-01.echo differ from the call records",
      (draft: Draft) => void draft.remains.falseKpis.push("t.2026-01-01.echo"),
    ],
  ])("%s is told", (_, said, spoil) => {
    const { invariants, words } = foundIn(spoil);
    expect(invariants).toEqual([12]);
    expect(words).toContain(said);
  });
});
