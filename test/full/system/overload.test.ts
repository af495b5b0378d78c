// Twice as many starts as there can be agents: the rest is told so, nothing grows, and soon all is well again.
import { afterAll, beforeAll, expect, test } from "vitest";
import { offer, say } from "../../bench/load/open-load.ts";
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

test("under twice what it can serve it serves what it can, tells the rest 429, and is well afterwards", async () => {
  // Four agents, a second each: four a second at the very best.
  const outcome = await offer(scene.stack, {
    profile: "quick",
    perSecond: (2 * AGENTS * 1000) / LASTS_MS,
    seconds: 12,
    waitMs: 30_000,
    lastsMs: LASTS_MS,
  });
  expect(outcome.wrong, say(outcome)).toEqual([]);
  expect(outcome.ready, say(outcome)).toBeGreaterThan(AGENTS);
  expect(outcome.refused, say(outcome)).toBeGreaterThan(outcome.offered / 10);
  expect(outcome.ready + outcome.waiting + outcome.refused).toBe(outcome.offered);
  // Nobody waits who isn't served: the queue is short, so its last one is soon the first.
  expect(outcome.waiting, say(outcome)).toBe(0);
  const starting = outcome.seconds.map((second) => second.starting);
  expect(Math.max(...starting)).toBeLessThanOrEqual(QUEUE + 2 * AGENTS);

  await until(async () => (await scene.health()).sessions.total === 0, {
    timeoutMs: PATIENCE_MS,
    what: "all have ended",
  });
  expect(await scene.start({ profile: "quick" })).toMatchObject({ status: "ready" });
  expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
  expect((await scene.health()).status).toBe("healthy");
});
