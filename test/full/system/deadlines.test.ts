// Agents that take too long: each limit has its own reason, and the history says what was missing.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { askTroubled, lifeOf, openScene, reasonsOf, type Scene } from "../../kit/stack/scene.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["troubled"],
    // What shall join here has long enough on a slow machine; what shall not, needn't be waited for longer.
    env: { GREENROOM_JOIN_DEADLINE_MS: "8000", GREENROOM_READY_DEADLINE_MS: "3000" },
  });
  await scene.pool("troubled", { idle: 3 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

test("an agent that never joins runs out of time, and the history says what was missing", async () => {
  const session = await scene.ended(await askTroubled(scene, "never join", { attempts: 99 }));
  expect(session).toMatchObject({ endedReason: "join_timeout", fault: "platform", attempt: 3 });
  expect(reasonsOf(session)[0]).toMatch(
    /the agent on host host-1 did not join room session-\S+ within \d+\.\d s \(limit 8000 ms\)/,
  );
});

test("an agent that never gets ready runs out of time, and the history says what was missing", async () => {
  const session = await scene.ended(await askTroubled(scene, "never ready", { attempts: 99 }));
  expect(session).toMatchObject({ endedReason: "ready_timeout", fault: "agent", attempt: 3 });
  for (const reason of reasonsOf(session)) {
    expect(reason).toMatch(
      /the agent joined but its entry started no AgentSession and called no ready\(\) within \d+\.\d s \(limit 3000 ms\)/,
    );
  }
  expect(lifeOf(session)).not.toContain("ready 1");
});
