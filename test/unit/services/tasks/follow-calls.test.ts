// What becomes of a task by how the telephone call of its session ended: the tasks service on a memory bus.
import { describe, expect, test } from "vitest";
import type { EndedReason } from "../../../../libs/contracts/sessions/session.ts";
import { isTaskEnd, type TaskRecord } from "../../../../libs/contracts/tasks/task.ts";
import { type Scene, TALK, taskWorld } from "../../../kit/worlds/task-world.ts";

const isOver = ({ state }: TaskRecord): boolean => isTaskEnd(state);

/** One attempt goes so; any later one is a call that is answered. */
async function attemptOf(scenes: readonly Scene[]) {
  const world = await taskWorld({ script: (_, attempt) => (attempt === 1 ? scenes : TALK) });
  await world.host();
  await world.tasks("tasks-1");
  await world.ask("t_1");
  return world;
}

/** A session that ends while its telephone rings, which the providers service reports later. */
const endsRinging = (ends: EndedReason, told: readonly Scene[]): readonly Scene[] => [
  { ready: true },
  { call: "dialing" },
  { call: "ringing" },
  { wait: 2000 },
  { ends },
  ...told,
];

const hungUp = (waitMs: number): readonly Scene[] => [
  { wait: waitMs },
  { call: "hungUp", more: { unanswered: true }, afterItsEnd: true },
];

describe("a call", () => {
  test("that its provider refuses ends at once, also when its intent was seen before", async () => {
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
    "whose session somebody ended while it rang is canceled, by what the providers service says %i ms later",
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
    "whose session ended as %s while it rang reached nobody, and is made again",
    async (reason) => {
      const world = await attemptOf(endsRinging(reason, hungUp(1000)));
      expect(await world.when("t_1", isOver)).toMatchObject({ state: "completed", attempt: 2 });
      expect(world.exchange.dialed).toEqual(["t_1-1", "t_1-2"]);
    },
  );

  test("that was answered just as its session ended is not made again", async () => {
    const answered: readonly Scene[] = [{ wait: 1000 }, { call: "hungUp", afterItsEnd: true }];
    const world = await attemptOf(endsRinging("agent_lost", answered));
    expect(await world.when("t_1", isOver)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "lost_after_answer" },
    });
  });

  test("of which the providers service says no more is unknown after a while, and not made again", async () => {
    const world = await attemptOf(endsRinging("completed", []));
    expect(await world.when("t_1", isOver, 60_000)).toMatchObject({ state: "unknown", attempt: 1 });
  });
});
