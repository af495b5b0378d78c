// Agents that miss a deadline. Each deadline has its own reason in the history.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { askTroubled, lifeOf, openScene, reasonsOf, type Scene } from "../../kit/stack/scene.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["troubled"],
    // Long enough for a join on a slow machine, and short enough to wait for.
    env: { GREENROOM_JOIN_DEADLINE_MS: "8000", GREENROOM_READY_DEADLINE_MS: "3000" },
  });
  await scene.pool("troubled", { idle: 3 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

describe("a missed deadline", () => {
  test("ends a session whose agent never joins, with the reason in the history", async () => {
    const session = await scene.ended(await askTroubled(scene, "never join", { attempts: 99 }));
    expect(session).toMatchObject({ endedReason: "join_timeout", fault: "platform", attempt: 3 });
    expect(reasonsOf(session)[0]).toMatch(
      /the agent on host host-1 did not join room session-\S+ within \d+\.\d s \(limit 8000 ms\)/,
    );
  });

  test("ends a session whose agent never becomes ready, with the reason in the history", async () => {
    const session = await scene.ended(await askTroubled(scene, "never ready", { attempts: 99 }));
    expect(session).toMatchObject({ endedReason: "ready_timeout", fault: "agent", attempt: 3 });
    for (const reason of reasonsOf(session)) {
      expect(reason).toMatch(
        /the agent joined but its entry started no AgentSession and called no ready\(\) within \d+\.\d s \(limit 3000 ms\)/,
      );
    }
    expect(lifeOf(session)).not.toContain("ready 1");
  });
});
