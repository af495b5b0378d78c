// What two janitors see to with simulated rooms: limits that pass, and records that were kept long enough.
import { afterAll, beforeAll, expect, test } from "vitest";
import { rollups } from "../../libs/contracts/buckets.ts";
import { openScene, PATIENCE_MS, type Scene } from "../support/scene.ts";
import { until } from "../support/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick"],
    mock: true,
    janitors: 2,
    env: { GREENROOM_IDLE_MS: "4000", GREENROOM_KEEP_ENDED_MS: "6000" },
  });
  await scene.pool("quick", { idle: 3 });
});
afterAll(() => scene?.stop());

test("a conversation ends when its longest duration is over, by the request's own word", async () => {
  const { sessionId } = await scene.start({ profile: "quick", maxDurationMs: 1500 });
  const session = await scene.ended(sessionId);
  expect(session).toMatchObject({ endedReason: "max_duration", fault: "none", attempt: 1 });
  expect(session.history.at(-1).why).toMatch(/the conversation took \d+\.\d s \(limit 1500 ms\)/);
  await scene.logged(sessionId, "the shutdown callback ran");
});

test("a conversation in which nobody speaks ends as idle", async () => {
  const { sessionId } = await scene.start({ profile: "quick" });
  const session = await scene.ended(sessionId);
  expect(session).toMatchObject({ endedReason: "idle", fault: "customer" });
  expect(session.history.at(-1).why).toMatch(/nobody spoke for \d+\.\d s \(limit 4000 ms\)/);
});

test("the record of a session that ended long ago is removed, and its minute's roll-up stays", async () => {
  const { sessionId } = await scene.start({ profile: "quick" });
  await scene.end(sessionId);
  await until(async () => (await scene.stack.get(`/api/session/${sessionId}`)).status === 404, {
    timeoutMs: PATIENCE_MS,
    everyMs: 250,
    what: "the session is not found any more",
  });
  const kept = (await scene.bus.list(rollups)).map(({ value }) => value);
  expect(kept.reduce((all, { byReason }) => all + (byReason.completed ?? 0), 0)).toBe(1);
});
