// Starts at an overloaded gateway or with a nearly full store.
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../../../../kit/until.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());

const start = (body: object = { wait: 0 }, headers: Record<string, string> = {}) =>
  rig.post("/api/session/start", body, headers);

describe("a gateway with the maximum of pending starts", () => {
  it("answers 429 with Retry-After, and accepts starts again when dispatchers have read some", async () => {
    rig = await startRig({ play: "ignore", env: { GREENROOM_MAX_PENDING_STARTS: "3" } });
    for (let n = 0; n < 3; n++) expect((await start()).status).toBe(202);
    const refused = await start();
    expect(refused.status).toBe(429);
    expect(refused.body.error).toMatchObject({ code: "overloaded", retryable: true });
    expect(refused.body.error.retryAfterMs).toBeGreaterThanOrEqual(1000);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    // The refused start left no event.
    expect(rig.events().filter(({ type }) => type === "requested")).toHaveLength(3);
    for (const event of rig.events()) await createRecord(event.sessionId);
    await until(async () => (await start()).status === 202, { what: "another start is accepted" });
  });

  it("still answers repeated requests, and all requests that are not starts", async () => {
    rig = await startRig({ play: "ignore", env: { GREENROOM_MAX_PENDING_STARTS: "1" } });
    const key = { "idempotency-key": "again" };
    const { body } = await start({ wait: 0 }, key);
    expect((await start()).status).toBe(429);
    expect((await start({ wait: 0 }, key)).body).toMatchObject({ success: true, sessionId: body.sessionId });
    expect((await rig.get(`/api/session/${body.sessionId}`)).status).toBe(200);
    expect((await rig.get("/api/health")).status).toBe(200);
  });
});

/** Creates the record, like a dispatcher that comes back. */
async function createRecord(sessionId: string): Promise<void> {
  const { newSession } = await import("../../../../../libs/domain/session/reduce.ts");
  const { sessions } = await import("../../../../../libs/contracts/buckets.ts");
  const requested = rig.events().find((event) => event.sessionId === sessionId && event.type === "requested");
  if (requested?.type !== "requested") throw new Error(`no request for ${sessionId}`);
  const ms = 60_000;
  const deadlineMs = {
    ...{ requested: ms, dispatched: ms, coldExtra: 0, joined: ms },
    ...{ maxDuration: ms, idle: ms, userAbsent: ms },
  };
  await rig.bus.kv.update(sessions, newSession(requested, { deadlineMs, maxAttempts: 1 }), 0);
}

describe("a store that is nearly full", () => {
  it("is reserved for running sessions: starts are 503, running ones are served and ended", async () => {
    rig = await startRig({ play: "ready" });
    const { body } = await start({});
    expect(body.status).toBe("ready");
    rig.server.setFaults({ full: true });
    const refused = await until(
      async () => {
        const answer = await start();
        return answer.status === 503 ? answer : undefined;
      },
      { what: "starts are refused" },
    );
    expect(refused.body.error).toMatchObject({ code: "storage_full", retryable: true });
    expect((await rig.get(`/api/session/${body.sessionId}`)).body.state).toBe("ready");
    rig.server.setFaults({ full: false });
    await until(async () => (await start({})).status === 200, { what: "starts are accepted again" });
  });
});
