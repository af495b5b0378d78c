// Two janitors with simulated rooms: missed deadlines, and records past their retention.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rollups } from "../../../libs/contracts/buckets.ts";
import { openScene, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

/** The shortest retention of a record, plus the time to notice. */
const REMOVED_WITHIN_MS = 150_000;

let scene: Scene;
let longGone: string;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick"],
    mock: true,
    janitors: 2,
    env: { GREENROOM_IDLE_MS: "4000", GREENROOM_SESSION_RETENTION_MS: "70000" },
  });
  await scene.pool("quick", { idle: 3 });
  // The record is kept while the other tests run; the last test waits for its deletion.
  longGone = (await scene.start({ profile: "quick" })).sessionId;
  await scene.end(longGone);
});
afterAll(() => scene?.stop());

describe("the janitor", () => {
  test("ends a session at the maximum duration of its request", async () => {
    const { sessionId } = await scene.start({ profile: "quick", maxDurationMs: 1500 });
    const session = await scene.ended(sessionId);
    expect(session).toMatchObject({ endedReason: "max_duration", fault: "none", attempt: 1 });
    expect(session.history.at(-1).reason).toMatch(/the conversation took \d+\.\d s \(limit 1500 ms\)/);
    await scene.logged(sessionId, "the shutdown callback ran");
  });

  test("ends a session as idle when nobody speaks", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    const session = await scene.ended(sessionId);
    expect(session).toMatchObject({ endedReason: "idle", fault: "customer" });
    expect(session.history.at(-1).reason).toMatch(/nobody spoke for \d+\.\d s \(limit 4000 ms\)/);
  });

  test(
    "deletes the record of a session that ended long ago, and keeps its minute's rollup",
    async () => {
      await until(async () => (await scene.stack.get(`/api/session/${longGone}`)).status === 404, {
        timeoutMs: REMOVED_WITHIN_MS,
        everyMs: 250,
        what: "the session is not found any more",
      });
      const kept = (await scene.bus.kv.entries(rollups)).map(({ value }) => value);
      expect(kept.reduce((all, { byReason }) => all + (byReason.completed ?? 0), 0)).toBe(1);
    },
    REMOVED_WITHIN_MS + 30_000,
  );
});
