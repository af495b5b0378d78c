// A gateway that can't keep up with its work refuses starts, serves what there is, and takes starts again afterwards.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { type Crowd, gather } from "../../kit/stack/crowd.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

/** Far above that of a gateway with little to do. */
const LAG_MAX_MS = 100;
/** So many come each second: how many it takes is the machine's affair. */
const MORE_CLIENTS = 100;

let scene: Scene;
let crowd: Crowd | undefined;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick"],
    mock: true,
    env: { GREENROOM_MAX_EVENT_LOOP_LAG_MS: String(LAG_MAX_MS) },
  });
  await scene.pool("quick", { idle: 3 });
});
afterEach(async () => {
  crowd?.leave();
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

test("a gateway that lags tells starts 429 and when to come back, goes on with the rest, and gets over it", async () => {
  const key = { "idempotency-key": "asked before the crowd came" };
  const ask = { profile: "quick", wait: 30_000 };
  const running = (await scene.ask(ask, key)).body;
  expect(running).toMatchObject({ status: "ready", attempt: 1 });

  // Work that a gateway does itself, and that makes no session: much to go through, and no such agent.
  const metadata = { things: Array.from({ length: 1300 }, () => ({})) };
  const body = JSON.stringify({ profile: "nobody", metadata });
  const many = gather(scene.stack.url, "/api/session/start", body);
  crowd = many;
  const refused = await until(
    async () => {
      many.grow(MORE_CLIENTS);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const answer = await scene.ask({ profile: "quick", wait: 0 });
      return answer.status === 429 ? answer : undefined;
    },
    { timeoutMs: PATIENCE_MS, what: () => `a start is refused; ${said(many)}` },
  );
  expect(refused.body.error).toMatchObject({ code: "overloaded", retryable: true });
  const lagMs = Number(/This gateway lags by (\d+) ms/.exec(refused.body.error.message)?.[1]);
  expect(lagMs).toBeGreaterThan(LAG_MAX_MS);
  expect(refused.body.error.retryAfterMs).toBeGreaterThanOrEqual(1000);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  // What was taken on is told again, and can be looked at.
  const again = await scene.ask(ask, key);
  expect(again.status).toBe(200);
  expect(again.body).toMatchObject({ sessionId: running.sessionId, status: "ready" });
  expect(await scene.session(running.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
  expect([...many.answers.keys()]).toEqual([404]);
  console.log(`the gateway lagged by ${lagMs} ms; ${said(many)}`);

  many.leave();
  const next = await until(
    async () => {
      const answer = await scene.ask(ask);
      return answer.status === 429 ? undefined : answer;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 250, what: "starts are taken again" },
  );
  expect(next.body).toMatchObject({ status: "ready" });
  expect(await scene.end(running.sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
  expect((await scene.health()).status).toBe("healthy");
  expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
});

const said = ({ size, answers }: Crowd): string =>
  `${size} clients were answered ${JSON.stringify(Object.fromEntries(answers))}`;
