// Claims over HTTP: one token, however many ask, and what a runner may say of what it claimed.
import { afterEach, describe, expect, it } from "vitest";
import { claims, sessions } from "../../../../../libs/contracts/buckets.ts";
import { type ClaimRecord, claimIdOf } from "../../../../../libs/contracts/claims/claim.ts";
import { agentIdentityOf, sessionKey } from "../../../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { handoffEvents } from "../../../../../libs/contracts/streams.ts";
import { signServiceJwt } from "../../../../kit/fixtures/service-jwt.ts";
import { until } from "../../../../kit/until.ts";
import type { Reply, Rig, RigOptions } from "../../../../kit/worlds/gateway-world.ts";
import { loseAgent, startRig } from "../../../../kit/worlds/gateway-world.ts";

const SECRET = "a-secret-that-is-long-enough-for-hs256";
const cold = { requestedWarmth: "cold" } as const;
const NONCE = "nonce-of-0123456789";
const AT = "2026-01-01T00:00:00.000Z";

let rig: Rig;
afterEach(() => rig.stop());

const atTheProvider = ({ attempt }: Pick<SessionRecord, "attempt">) =>
  ({ type: "host_chosen", attempt, host: "provider-webhook", epoch: 1, at: AT, ...cold }) as const;

/** A session whose first attempt is the webhook provider's, and the offer of it. */
async function offered(options: RigOptions = {}) {
  rig = await startRig({
    play: (record) => [atTheProvider(record)],
    maxAttempts: 3,
    ...options,
    env: { CONTROL_PLANE_JWT_SECRET: SECRET, ...options.env },
  });
  const { body } = await rig.post("/api/session/start", {
    wait: 0,
    userId: "caller",
    metadata: { language: "de" },
  });
  const sessionId: string = body.sessionId;
  await until(async () => (await recordOf(sessionId))?.state === "dispatched", { what: "it is dispatched" });
  const dispatch = await offer(sessionId, 1);
  return { sessionId, dispatch };
}

const recordOf = async (sessionId: string) =>
  (await rig.bus.kv.get(sessions, sessionKey({ tenant: "default", sessionId })))?.value;

async function offer(sessionId: string, attempt: number, change: Partial<ClaimRecord> = {}) {
  const dispatch: ClaimRecord = {
    v: 1,
    claimId: claimIdOf({ sessionId, attempt }),
    tenant: "default",
    sessionId,
    attempt,
    provider: "webhook",
    profile: "echo",
    room: `session-${sessionId}`,
    identity: agentIdentityOf({ sessionId, attempt }),
    traceId: "trace-1",
    state: "offered",
    expiresAt: AT,
    at: AT,
    writeId: `test:${attempt}`,
    ...change,
  };
  await rig.bus.kv.update(claims, dispatch, 0);
  return dispatch;
}

const bearer = async (subject = "runner", tenant = "default") => ({
  authorization: `Bearer ${await signServiceJwt(SECRET, { tenant, subject })}`,
});

const claim = async (id: string, nonce = NONCE, subject = "runner"): Promise<Reply> =>
  rig.post(`/api/claims/${id}/claim`, { nonce }, await bearer(subject));

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

const stored = async (id: string) => (await rig.bus.kv.get(claims, `default.${id}`))?.value;

async function move(id: string, change: Partial<ClaimRecord>) {
  const entry = await rig.bus.kv.get(claims, `default.${id}`);
  if (entry === undefined) throw new Error(`there is no ${id}`);
  const changed = { ...entry.value, ...change, writeId: JSON.stringify(change) };
  await rig.bus.kv.update(claims, changed, entry.revision);
}

const told = () =>
  rig.server
    .stored(handoffEvents)
    .flatMap(({ message: m }) => ("reason" in m && m.type === "dispatch_claim_failed" ? [m.reason] : []));

describe("a claim", () => {
  it("gives the agent's token for the room and all that an agent is told", async () => {
    const { sessionId, dispatch } = await offered();
    const { status, body, headers } = await claim(dispatch.claimId);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      success: true,
      claimId: dispatch.claimId,
      sessionId,
      attempt: 1,
      profile: "echo",
      url: "ws://simulated.invalid",
      room: `session-${sessionId}`,
      identity: `agent-${sessionId}-1`,
      user: { id: "caller", name: "caller" },
      metadata: { language: "de" },
      recovering: false,
      expiresIn: 60,
    });
    expect(headers["cache-control"]).toBe("no-store");
    const claims = claimsOf(body.token);
    expect(claims).toMatchObject({ sub: `agent-${sessionId}-1`, kind: "agent" });
    expect(claims.video).toMatchObject({ room: `session-${sessionId}`, roomJoin: true, agent: true });
    expect(claims.exp - claims.nbf).toBe(60);
    expect(await stored(dispatch.claimId)).toMatchObject({ state: "claimed", claimedBy: "runner" });
  });

  it("is won by one of a hundred that race over two gateways", async () => {
    const { dispatch } = await offered();
    const other = await rig.another();
    const claimants = Array.from({ length: 100 }, (_, index) => ({
      nonce: `nonce-of-claimant-${String(index).padStart(3, "0")}`,
      subject: `runner-${index % 7}`,
    }));
    const replies = await Promise.all(
      claimants.map(async ({ nonce, subject }, index) => {
        const headers = await bearer(subject);
        const payload = { nonce };
        const url = `/api/claims/${dispatch.claimId}/claim`;
        const reply = await (index % 2 === 0 ? rig.app : other).inject({
          method: "POST",
          url,
          headers,
          payload,
        });
        return { status: reply.statusCode, body: reply.json(), nonce, subject };
      }),
    );
    const winners = replies.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    const losers = replies.filter(({ status }) => status !== 200);
    expect(new Set(losers.map(({ status, body }) => `${status} ${body.error.code}`))).toEqual(
      new Set(["409 claim_used"]),
    );
    const [winner] = winners;
    expect(await stored(dispatch.claimId)).toMatchObject({ state: "claimed", claimedBy: winner?.subject });
    const again = await claim(dispatch.claimId, winner?.nonce, winner?.subject);
    expect(again.status).toBe(200);
    // Told once, however many were refused.
    await until(() => told().length > 0, { what: "the refusal is told" });
    expect(told()).toEqual(["used"]);
  });

  it("is answered again for the same nonce of the same caller, and for nobody else", async () => {
    const { dispatch } = await offered();
    const first = await claim(dispatch.claimId);
    const again = await claim(dispatch.claimId);
    expect([first.status, again.status]).toEqual([200, 200]);
    expect({ ...again.body, token: "" }).toEqual({ ...first.body, token: "" });
    for (const [nonce, subject] of [
      ["another-nonce-of-0123", "runner"],
      [NONCE, "another-runner"],
    ] as const) {
      const refused = await claim(dispatch.claimId, nonce, subject);
      expect([refused.status, refused.body.error.code]).toEqual([409, "claim_used"]);
    }
    await move(dispatch.claimId, { state: "used" });
    expect((await claim(dispatch.claimId)).body.error).toMatchObject({
      code: "claim_used",
      retryable: false,
    });
  });

  it("is refused once nobody came in time, saying why", async () => {
    const { sessionId, dispatch } = await offered();
    await move(dispatch.claimId, { state: "expired", reason: "nobody claimed it within 60 s" });
    const { status, body } = await claim(dispatch.claimId);
    expect(status).toBe(410);
    expect(body.error).toMatchObject({ code: "claim_expired", sessionId });
    expect(body.error.message).toContain("nobody claimed it within 60 s");
    await until(() => told().length > 0, { what: "the refusal is told" });
    expect(told()).toEqual(["expired"]);
  });

  it("is fenced by the session's record, whatever the dispatch says", async () => {
    const { sessionId, dispatch } = await offered();
    await rig.move(sessionId, loseAgent({ sessionId, attempt: 1 }, "it went away"));
    const late = await claim(dispatch.claimId);
    expect([late.status, late.body.error.code]).toEqual([410, "claim_over"]);
    expect(late.body.error.message).toContain("attempt 2");

    const second = await offer(sessionId, 2);
    expect((await claim(second.claimId)).body.error.code).toBe("claim_over"); // Nobody was asked yet.
    await rig.move(sessionId, atTheProvider({ attempt: 2 }));
    expect((await claim(second.claimId)).status).toBe(200);
    await rig.post(`/api/session/${sessionId}/end`);
    const ended = await claim(second.claimId); // Even what was claimed gives no further token.
    expect([ended.status, ended.body.error.code]).toEqual([410, "claim_over"]);
    expect((await stored(dispatch.claimId))?.state).toBe("offered");
  });

  it("is refused while another host has the attempt", async () => {
    rig = await startRig({ env: { CONTROL_PLANE_JWT_SECRET: SECRET } });
    const { body } = await rig.post("/api/session/start", {});
    const dispatch = await offer(body.sessionId, 1);
    expect((await claim(dispatch.claimId)).body.error.code).toBe("claim_over");
  });

  it("is refused to another tenant, which doesn't even learn of it", async () => {
    const { dispatch } = await offered();
    const reply = await rig.post(
      `/api/claims/${dispatch.claimId}/claim`,
      { nonce: NONCE },
      await bearer("runner", "other"),
    );
    expect([reply.status, reply.body.error.code]).toEqual([404, "not_found"]);
    const unknown = await rig.post(
      "/api/claims/s_none-1/claim",
      { nonce: NONCE },
      await bearer("runner", "other"),
    );
    const words = (text: string, id: string) => text.replaceAll(id, "<id>");
    expect(words(reply.body.error.message, dispatch.claimId)).toBe(
      words(unknown.body.error.message, "s_none-1"),
    );
    expect((await stored(dispatch.claimId))?.state).toBe("offered");
  });

  it("needs a service JWT, a nonce that can't be guessed, and a LiveKit; nothing is used up without", async () => {
    const { dispatch } = await offered();
    const url = `/api/claims/${dispatch.claimId}/claim`;
    const none = await rig.post(url, { nonce: NONCE });
    expect([none.status, none.body.error.code]).toEqual([401, "unauthorized"]);
    const wrong = await signServiceJwt("another-secret-that-is-long-enough", {
      tenant: "default",
      subject: "x",
    });
    expect((await rig.post(url, { nonce: NONCE }, { authorization: `Bearer ${wrong}` })).status).toBe(401);
    for (const nonce of ["", "short", "x".repeat(129), "spaces in a nonce of it"])
      expect((await rig.post(url, { nonce }, await bearer())).status).toBe(400);
    expect((await rig.post(url, {}, await bearer())).status).toBe(400);
    expect((await stored(dispatch.claimId))?.state).toBe("offered");
  });

  it("says what to set where no key is", async () => {
    const { dispatch } = await offered({ env: { CONTROL_PLANE_JWT_SECRET: "" } });
    const { status, body } = await claim(dispatch.claimId);
    expect(status).toBe(401);
    expect(body.error.message).toContain("CONTROL_PLANE_JWT_SECRET");
  });
});

describe("a dispatch", () => {
  it("is shown without any token, nonce or hash of one", async () => {
    const { sessionId, dispatch } = await offered();
    const { body: claimed } = await claim(dispatch.claimId);
    const { status, body } = await rig.get(`/api/claims/${dispatch.claimId}`, await bearer("another-runner"));
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      claimId: dispatch.claimId,
      sessionId,
      attempt: 1,
      profile: "echo",
      provider: "webhook",
      room: dispatch.room,
      identity: dispatch.identity,
      traceId: "trace-1",
      state: "claimed",
      claimedBy: "runner",
      reason: null,
      expiresAt: AT,
    });
    expect((await rig.get(`/api/claims/${dispatch.claimId}`)).status).toBe(401);
    expect((await rig.get(`/api/claims/${dispatch.claimId}`, await bearer("r", "other"))).status).toBe(404);
    // Nor is it anywhere else.
    const stored = await rig.bus.kv.history(claims, `default.${dispatch.claimId}`);
    const record = await rig.bus.kv.history(sessions, sessionKey({ tenant: "default", sessionId }));
    const everything = JSON.stringify([stored, record, rig.said(), rig.server.stored(handoffEvents)]);
    expect(everything).not.toContain(claimed.token);
    expect(everything).not.toContain("eyJ");
    expect(everything).not.toContain(NONCE);
  });
});

describe("what a runner says", () => {
  const say = async (id: string, what: string, body: object = {}, subject = "runner") =>
    rig.post(`/api/claims/${id}/${what}`, body, await bearer(subject));
  const stateIs = (sessionId: string, state: string) =>
    until(async () => (await recordOf(sessionId))?.state === state, { what: `it is ${state}` });

  it("takes the session to joined, ready and its end", async () => {
    const { sessionId, dispatch } = await offered();
    await claim(dispatch.claimId);
    expect((await say(dispatch.claimId, "joined", { tookMs: 12.4 })).body).toMatchObject({
      sessionId,
      attempt: 1,
      state: "dispatched",
    });
    await stateIs(sessionId, "joined");
    await say(dispatch.claimId, "ready", { tookMs: 40 });
    await stateIs(sessionId, "ready");
    expect(await recordOf(sessionId)).toMatchObject({
      host: "provider-webhook",
      identity: dispatch.identity,
      room: dispatch.room,
      warm: "cold",
      timings: { joinMs: 12, readyMs: 40 },
    });
    await say(dispatch.claimId, "ended", { reason: "the caller said goodbye" });
    await stateIs(sessionId, "ended");
    const record = await recordOf(sessionId);
    expect([record?.endedReason, record?.history.at(-1)?.reason]).toEqual([
      "completed",
      "the caller said goodbye",
    ]);
    // Said again, it is over, which is no error.
    const again = await say(dispatch.claimId, "ended");
    expect([again.status, again.body.state]).toEqual([200, "ended"]);
  });

  it("counts also in another order and twice", async () => {
    const { sessionId, dispatch } = await offered();
    await claim(dispatch.claimId);
    for (const what of ["ready", "joined", "ready", "joined"]) {
      expect((await say(dispatch.claimId, what)).status).toBe(200);
    }
    await stateIs(sessionId, "ready");
    expect((await recordOf(sessionId))?.history.map(({ state }) => state)).toEqual([
      "requested",
      "dispatched",
      "ready",
    ]);
  });

  it("is measured by the gateway where the runner has no figure", async () => {
    const { sessionId, dispatch } = await offered();
    await claim(dispatch.claimId);
    await say(dispatch.claimId, "joined");
    await stateIs(sessionId, "joined");
    expect((await recordOf(sessionId))?.timings.joinMs).toBeGreaterThanOrEqual(0);
  });

  it("ends a session whose user left, and tries one again whose agent failed", async () => {
    const { sessionId, dispatch } = await offered();
    await claim(dispatch.claimId);
    await say(dispatch.claimId, "ready");
    await stateIs(sessionId, "ready");
    await say(dispatch.claimId, "ended", { error: "the model is gone", reason: "x" });
    await stateIs(sessionId, "requested");
    expect(await recordOf(sessionId)).toMatchObject({ attempt: 2, failures: 1, recovering: true });

    await rig.move(sessionId, atTheProvider({ attempt: 2 }));
    const second = await offer(sessionId, 2);
    await claim(second.claimId);
    await say(second.claimId, "ready");
    await stateIs(sessionId, "ready");
    await say(second.claimId, "ended", { userLeft: true });
    await stateIs(sessionId, "ended");
    expect((await recordOf(sessionId))?.endedReason).toBe("completed");
  });

  it("may be that it can't serve what it was asked for, which it needs no claim for", async () => {
    const { sessionId, dispatch } = await offered();
    await say(dispatch.claimId, "ended", { error: "no such agent here", retryable: false });
    await stateIs(sessionId, "ended");
    const record = await recordOf(sessionId);
    expect(record?.endedReason).toBe("agent_error");
    expect(record?.history.at(-1)?.reason).toBe("no such agent here");
  });

  it("counts of nobody who didn't claim, and of no former attempt", async () => {
    const { sessionId, dispatch } = await offered();
    const early = await say(dispatch.claimId, "ready");
    expect([early.status, early.body.error.code]).toEqual([409, "conflict"]);
    await claim(dispatch.claimId);
    for (const what of ["joined", "ready", "ended"]) {
      const foreign = await say(dispatch.claimId, what, {}, "another-runner");
      expect([foreign.status, foreign.body.error.code]).toEqual([403, "forbidden"]);
    }
    await rig.move(sessionId, loseAgent({ sessionId, attempt: 1 }, "its room is empty"));
    const late = await say(dispatch.claimId, "ready");
    expect([late.status, late.body.error.code]).toEqual([410, "claim_over"]);
    expect(late.body.error.message).toContain("Leave the room");
    expect((await say(dispatch.claimId, "ended", { error: "too late" })).status).toBe(200);
    expect(await recordOf(sessionId)).toMatchObject({ state: "requested", attempt: 2 });
    expect(rig.said().map(({ type }) => type)).toEqual(["requested"]);
  });

  it("brings no token into the session's history", async () => {
    const { sessionId, dispatch } = await offered();
    const { body } = await claim(dispatch.claimId);
    await say(dispatch.claimId, "ended", { error: `refused: ${body.token}`, retryable: false });
    await stateIs(sessionId, "ended");
    expect((await recordOf(sessionId))?.history.at(-1)?.reason).toBe("refused: (a token)");
  });
});
