// The checks of tasks, phone calls and call records in a chaos run, each against a planted defect.
import { describe, expect, test } from "vitest";
import type { Draft } from "../../../../kit/fixtures/chaos-story.ts";
import { foundIn } from "../../../../kit/fixtures/spoilt-run.ts";

const taskOf = ({ remains }: Draft) => remains.tasks[0]!;

test("reports an accepted task that doesn't exist", () => {
  const { invariants, message } = foundIn((draft) => {
    draft.remains.tasks = [];
    draft.remains.dialed = [];
  });
  expect(invariants).toEqual([1]);
  expect(message).toBe("task called, accepted at 1.0 s, does not exist");
});

test("reports a task that goes on at the end", () => {
  const { invariants, message } = foundIn(
    (draft) => void Object.assign(taskOf(draft), { state: "inProgress" }),
  );
  expect(invariants).toEqual([2]);
  expect(message).toBe("task called is still inProgress in its attempt 2 after its cancellation");
});

test("reports two tasks with one key", () => {
  const { invariants } = foundIn((draft) => {
    draft.remains.tasks.push({ ...taskOf(draft), taskId: "another", attempts: [] });
    draft.sentTasks[1]!.taskId = "another";
  });
  expect(invariants).toEqual([10]);
});

describe("15: nobody is called twice", () => {
  test("reports two calls of one attempt", () => {
    const { invariants, message, sessions } = foundIn(({ remains }) => {
      remains.dialed.push({ ...remains.dialed[0]!, id: "once more", atMs: 7000 });
    });
    expect(invariants).toEqual([15]);
    expect(message).toBe("+15550100 was called at 1.0 s and 7.0 s for one attempt of task t.called");
    expect(sessions).toEqual(["called-1"]);
  });

  test("reports a second conversation of one task", () => {
    const { invariants, message } = foundIn(({ remains }) => {
      remains.dialed[0]!.wasAnswered = true;
    });
    expect(invariants).toEqual([15]);
    expect(message).toBe("+15550100 answered 2 calls of task t.called");
  });

  test("reports a call without a task", () => {
    const { invariants, message } = foundIn(({ remains }) => {
      remains.dialed.push({ ...remains.dialed[0]!, id: "stray", name: "somebody's" });
    });
    expect(invariants).toEqual([15]);
    expect(message).toContain("without a task");
  });
});

describe("9: no call outlives its session", () => {
  test("reports a call that goes on", () => {
    const { invariants, message } = foundIn(({ remains }) => {
      remains.dialed[1]!.isLive = true;
    });
    expect(invariants).toEqual([9]);
    expect(message).toBe("the call to +15550100 continues at the end");
  });

  test("reports a launch of an ended session, but not one with unknown state", () => {
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
      message: "the launch for calm#1 is launched at the end",
    });
    expect(launch("unknown").invariants).toEqual([]);
  });
});

describe("12: call records and key figures agree with the records", () => {
  test.each([
    ["a missing call", "has no call record", (draft: Draft) => void draft.remains.calls.pop()],
    [
      "a duplicate call",
      "has 2 call records",
      (draft: Draft) => void draft.remains.calls.push(draft.remains.calls[0]!),
    ],
    [
      "a call with another outcome",
      'differs: outcome "failed", but its sources give',
      (draft: Draft) => void Object.assign(draft.remains.calls[0]!, { outcome: "failed" }),
    ],
    [
      "a call of an unknown session",
      "did not end",
      (draft: Draft) => void draft.remains.calls.push({ ...draft.remains.calls[0]!, sessionId: "nobody" }),
    ],
    [
      "figures of a day that disagree",
      "the key figures t.2026-01-01.echo differ from the call records",
      (draft: Draft) => void draft.remains.falseKpis.push("t.2026-01-01.echo"),
    ],
  ])("reports %s", (_, expected, spoil) => {
    const { invariants, message } = foundIn(spoil);
    expect(invariants).toEqual([12]);
    expect(message).toContain(expected);
  });
});
