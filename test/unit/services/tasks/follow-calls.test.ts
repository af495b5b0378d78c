// Tasks by the end of their session's phone call: the tasks service on an in-memory bus.
import { describe, expect, test } from "vitest";
import type { EndedReason } from "../../../../libs/contracts/sessions/session.ts";
import { isTaskEnd, type TaskRecord } from "../../../../libs/contracts/tasks/task.ts";
import { type Scene, TALK, taskWorld } from "../../../kit/worlds/task-world.ts";

const isOver = ({ state }: TaskRecord): boolean => isTaskEnd(state);

/** A task whose first attempt follows the scenes. Any later attempt is an answered call. */
async function attemptOf(scenes: readonly Scene[]) {
  const world = await taskWorld({ script: (_, attempt) => (attempt === 1 ? scenes : TALK) });
  await world.host();
  await world.tasks("tasks-1");
  await world.request("t_1");
  return world;
}

/** A session that ends while its phone rings. The providers service reports the rest later. */
const endsRinging = (ends: EndedReason, report: readonly Scene[]): readonly Scene[] => [
  { ready: true },
  { call: "dialing" },
  { call: "ringing" },
  { wait: 2000 },
  { ends },
  ...report,
];

const hungUp = (waitMs: number): readonly Scene[] => [
  { wait: waitMs },
  { call: "hungUp", more: { unanswered: true }, afterItsEnd: true },
];

describe("a task's call", () => {
  test("fails at once when its provider refuses, even if its intent was seen before", async () => {
    const refused: readonly Scene[] = [
      { ready: true },
      { launch: "intended" },
      { wait: 2000 },
      { launch: "over" },
      { ends: "provider_error", wasRetryable: false },
    ];
    const world = await attemptOf(refused);
    await world.when("t_1", ({ attempts }) => attempts[0]?.call?.status === "dialing");
    expect(await world.when("t_1", isOver)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "provider_failed", retryable: false },
    });
  });

  test.each([0, 3000, 15_000])(
    "is canceled when somebody ended the session while it rang, reported %i ms later",
    async (waitMs) => {
      const world = await attemptOf(endsRinging("completed", hungUp(waitMs)));
      expect(await world.when("t_1", isOver)).toMatchObject({
        state: "canceled",
        attempt: 1,
        error: { code: "canceled" },
        attempts: [{ call: { status: "hungUp", unanswered: true } }],
      });
    },
  );

  test.each(["agent_lost", "provider_error", "expired"] as const)(
    "is retried when the session ended as %s while it rang and nobody was reached",
    async (reason) => {
      const world = await attemptOf(endsRinging(reason, hungUp(1000)));
      expect(await world.when("t_1", isOver)).toMatchObject({ state: "completed", attempt: 2 });
      expect(world.exchange.dialed).toEqual(["t_1-1", "t_1-2"]);
    },
  );

  test("is not retried when it was answered just as the session ended", async () => {
    const answered: readonly Scene[] = [{ wait: 1000 }, { call: "hungUp", afterItsEnd: true }];
    const world = await attemptOf(endsRinging("agent_lost", answered));
    expect(await world.when("t_1", isOver)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "lost_after_answer" },
    });
  });

  test("is unknown after a while without a report, and not retried", async () => {
    const world = await attemptOf(endsRinging("completed", []));
    expect(await world.when("t_1", isOver, 60_000)).toMatchObject({ state: "unknown", attempt: 1 });
  });
});
