// An overloaded gateway refuses starts, serves running sessions, and accepts starts again afterwards.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { type Crowd, gather } from "../../kit/stack/crowd.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

/** Far above the lag of an idle gateway. */
const MAX_LAG_MS = 100;
/** Clients added each second, until the gateway lags. */
const MORE_CLIENTS = 100;

let scene: Scene;
let crowd: Crowd | undefined;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick"],
    mock: true,
    env: { GREENROOM_MAX_EVENT_LOOP_LAG_MS: String(MAX_LAG_MS) },
  });
  await scene.pool("quick", { idle: 3 });
});
afterEach(async () => {
  crowd?.leave();
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

describe("a lagging gateway", () => {
  test("answers starts with 429 and Retry-After, serves everything else, and recovers", async () => {
    const key = { "idempotency-key": "sent before the crowd came" };
    const request = { profile: "quick", wait: 30_000 };
    const running = (await scene.ask(request, key)).body;
    expect(running).toMatchObject({ status: "ready", attempt: 1 });

    // Expensive requests that start no session: large metadata, and an unknown profile.
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
      { timeoutMs: PATIENCE_MS, what: () => `a start is refused; ${answersOf(many)}` },
    );
    expect(refused.body.error).toMatchObject({ code: "overloaded", retryable: true });
    const lagMs = Number(/This gateway lags by (\d+) ms/.exec(refused.body.error.message)?.[1]);
    expect(lagMs).toBeGreaterThan(MAX_LAG_MS);
    expect(refused.body.error.retryAfterMs).toBeGreaterThanOrEqual(1000);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    // An accepted start is answered again, and its session can be read.
    const again = await scene.ask(request, key);
    expect(again.status).toBe(200);
    expect(again.body).toMatchObject({ sessionId: running.sessionId, status: "ready" });
    expect(await scene.session(running.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    expect([...many.answers.keys()]).toEqual([404]);
    console.log(`the gateway lagged by ${lagMs} ms; ${answersOf(many)}`);

    many.leave();
    const next = await until(
      async () => {
        const answer = await scene.ask(request);
        return answer.status === 429 ? undefined : answer;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 250, what: "starts are accepted again" },
    );
    expect(next.body).toMatchObject({ status: "ready" });
    expect(await scene.end(running.sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
    // Heartbeats may be late, too.
    await until(async () => (await scene.health()).status === "healthy", {
      timeoutMs: PATIENCE_MS,
      what: "everything is healthy",
    });
    expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
  });
});

const answersOf = ({ size, answers }: Crowd): string =>
  `${size} clients got ${JSON.stringify(Object.fromEntries(answers))}`;
