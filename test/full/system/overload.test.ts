// Twice as many starts as agents: the rest gets 429, nothing grows, and the stack recovers soon.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeOutcome, offer } from "../../bench/load/open-load.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

const AGENTS = 4;
const QUEUE = 5;
const LASTS_MS = 1000;

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick"],
    mock: true,
    env: { GREENROOM_MAX_AGENTS: String(AGENTS), GREENROOM_MAX_QUEUE_LENGTH: String(QUEUE) },
  });
  await scene.pool("quick", { idle: 3 });
});
afterAll(() => scene?.stop());

describe("an overloaded stack", () => {
  test("serves what it can, answers the rest with 429, and is healthy afterwards", async () => {
    // Four agents with calls of a second serve at most four calls a second.
    const outcome = await offer(scene.stack, {
      profile: "quick",
      perSecond: (2 * AGENTS * 1000) / LASTS_MS,
      seconds: 12,
      waitMs: 30_000,
      lastsMs: LASTS_MS,
    });
    expect(outcome.wrong, describeOutcome(outcome)).toEqual([]);
    expect(outcome.ready, describeOutcome(outcome)).toBeGreaterThan(AGENTS);
    expect(outcome.refused, describeOutcome(outcome)).toBeGreaterThan(outcome.offered / 10);
    expect(outcome.ready + outcome.waiting + outcome.refused).toBe(outcome.offered);
    // Every queued session is served, because the queue is short.
    expect(outcome.waiting, describeOutcome(outcome)).toBe(0);
    const starting = outcome.seconds.map((second) => second.starting);
    expect(Math.max(...starting)).toBeLessThanOrEqual(QUEUE + 2 * AGENTS);

    await until(async () => (await scene.health()).sessions.total === 0, {
      timeoutMs: PATIENCE_MS,
      what: "all sessions have ended",
    });
    expect(await scene.start({ profile: "quick" })).toMatchObject({ status: "ready" });
    expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
    await until(async () => (await scene.health()).status === "healthy", {
      timeoutMs: PATIENCE_MS,
      what: "everything is healthy",
    });
  });
});
