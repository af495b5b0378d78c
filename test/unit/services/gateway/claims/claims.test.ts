// Claims over HTTP: one token, however many ask, and what a runner may say of what it claimed.
import { afterEach, describe, expect, it } from "vitest";
import { signServiceJwt } from "../../../../../libs/auth/service-jwt.ts";
import { dispatches, sessions } from "../../../../../libs/contracts/buckets.ts";
import { type DispatchRecord, dispatchIdOf } from "../../../../../libs/contracts/claims/claim.ts";
import { agentIdentityOf, sessionKey } from "../../../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { runtimeEvents } from "../../../../../libs/contracts/streams.ts";
import { until } from "../../../../kit/until.ts";
import type { Reply, Rig, RigOptions } from "../../../../kit/worlds/gateway-world.ts";
import { loseAgent, startRig } from "../../../../kit/worlds/gateway-world.ts";

const SECRET = "a-secret-that-is-long-enough-for-hs256";
const NONCE = "nonce-of-0123456789";
const AT = "2026-01-01T00:00:00.000Z";

let rig: Rig;
afterEach(() => rig.stop());

const atTheProvider = ({ attempt }: Pick<SessionRecord, "attempt">) =>
  ({
    type: "host_chosen",
    attempt,
    host: "provider-webhook",
    epoch: 1,
    asked: "cold",
    at: AT,
  }) as const;

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
  const session: string = body.sessionId;
  await until(async () => (await recordOf(session))?.state === "dispatched", { what: "it is dispatched" });
  const dispatch = await offer(session, 1);
  return { session, dispatch };
}

const recordOf = async (session: string) =>
  (await rig.bus.read(sessions, sessionKey("default", session)))?.value;

async function offer(session: string, attempt: number, change: Partial<DispatchRecord> = {}) {
  const dispatch: DispatchRecord = {
    v: 1,
    id: dispatchIdOf(session, attempt),
    tenant: "default",
    session,
    attempt,
    provider: "webhook",
    profile: "echo",
    room: `session-${session}`,
    identity: agentIdentityOf(session, attempt),
    traceId: "trace-1",
    state: "offered",
    expiresAt: AT,
    at: AT,
    opId: `test:${attempt}`,
    ...change,
  };
  await rig.bus.save(dispatches, dispatch, 0);
  return dispatch;
}

const bearer = async (subject = "runner", tenant = "default") => ({
  authorization: `Bearer ${await signServiceJwt(SECRET, { tenant, subject })}`,
});

const claim = async (id: string, nonce = NONCE, subject = "runner"): Promise<Reply> =>
  rig.post(`/api/dispatches/${id}/claim`, { nonce }, await bearer(subject));

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

const stored = async (id: string) => (await rig.bus.read(dispatches, `default.${id}`))?.value;

async function move(id: string, change: Partial<DispatchRecord>) {
  const entry = await rig.bus.read(dispatches, `default.${id}`);
  if (entry === undefined) throw new Error(`there is no ${id}`);
  await rig.bus.save(dispatches, { ...entry.value, ...change, opId: JSON.stringify(change) }, entry.revision);
}

const told = () =>
  rig.server
    .stored(runtimeEvents)
    .flatMap(({ message }) => (message.type === "dispatch_claim_failed" ? [message.reason] : []));

describe("a claim", () => {
  it("gives the agent's token for the room and all that an agent is told", async () => {
    const { session, dispatch } = await offered();
    const { status, body, headers } = await claim(dispatch.id);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      success: true,
      dispatchId: dispatch.id,
      sessionId: session,
      attempt: 1,
      profile: "echo",
      url: "ws://simulated.invalid",
      room: `session-${session}`,
      identity: `agent-${session}-1`,
      user: { id: "caller", name: "caller" },
      metadata: { language: "de" },
      recovering: false,
      expiresIn: 60,
    });
    expect(headers["cache-control"]).toBe("no-store");
    const claims = claimsOf(body.token);
    expect(claims).toMatchObject({ sub: `agent-${session}-1`, kind: "agent" });
    expect(claims.video).toMatchObject({ room: `session-${session}`, roomJoin: true, agent: true });
    expect(claims.exp - claims.nbf).toBe(60);
    expect(await stored(dispatch.id)).toMatchObject({ state: "claimed", claimedBy: "runner" });
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
        const url = `/api/dispatches/${dispatch.id}/claim`;
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
      new Set(["409 dispatch_used"]),
    );
    const [winner] = winners;
    expect(await stored(dispatch.id)).toMatchObject({ state: "claimed", claimedBy: winner?.subject });
    const again = await claim(dispatch.id, winner?.nonce, winner?.subject);
    expect(again.status).toBe(200);
    // Told once, however many were refused.
    await until(() => told().length > 0, { what: "the refusal is told" });
    expect(told()).toEqual(["used"]);
  });

  it("is answered again for the same nonce of the same caller, and for nobody else", async () => {
    const { dispatch } = await offered();
    const first = await claim(dispatch.id);
    const again = await claim(dispatch.id);
    expect([first.status, again.status]).toEqual([200, 200]);
    expect({ ...again.body, token: "" }).toEqual({ ...first.body, token: "" });
    for (const [nonce, subject] of [
      ["another-nonce-of-0123", "runner"],
      [NONCE, "another-runner"],
    ] as const) {
      const refused = await claim(dispatch.id, nonce, subject);
      expect([refused.status, refused.body.error.code]).toEqual([409, "dispatch_used"]);
    }
    await move(dispatch.id, { state: "used" });
    expect((await claim(dispatch.id)).body.error).toMatchObject({ code: "dispatch_used", retryable: false });
  });

  it("is refused once nobody came in time, saying why", async () => {
    const { session, dispatch } = await offered();
    await move(dispatch.id, { state: "expired", why: "nobody claimed it within 60 s" });
    const { status, body } = await claim(dispatch.id);
    expect(status).toBe(410);
    expect(body.error).toMatchObject({ code: "dispatch_expired", sessionId: session });
    expect(body.error.message).toContain("nobody claimed it within 60 s");
    await until(() => told().length > 0, { what: "the refusal is told" });
    expect(told()).toEqual(["expired"]);
  });

  it("is fenced by the session's record, whatever the dispatch says", async () => {
    const { session, dispatch } = await offered();
    await rig.move(session, loseAgent({ id: session, attempt: 1 }, "it went away"));
    const late = await claim(dispatch.id);
    expect([late.status, late.body.error.code]).toEqual([410, "dispatch_over"]);
    expect(late.body.error.message).toContain("attempt 2");

    const second = await offer(session, 2);
    expect((await claim(second.id)).body.error.code).toBe("dispatch_over"); // Nobody was asked yet.
    await rig.move(session, atTheProvider({ attempt: 2 }));
    expect((await claim(second.id)).status).toBe(200);
    await rig.post(`/api/session/${session}/end`);
    const ended = await claim(second.id); // Even what was claimed gives no further token.
    expect([ended.status, ended.body.error.code]).toEqual([410, "dispatch_over"]);
    expect((await stored(dispatch.id))?.state).toBe("offered");
  });

  it("is refused while another host has the attempt", async () => {
    rig = await startRig({ env: { CONTROL_PLANE_JWT_SECRET: SECRET } });
    const { body } = await rig.post("/api/session/start", {});
    const dispatch = await offer(body.sessionId, 1);
    expect((await claim(dispatch.id)).body.error.code).toBe("dispatch_over");
  });

  it("is refused to another tenant, which doesn't even learn of it", async () => {
    const { dispatch } = await offered();
    const reply = await rig.post(
      `/api/dispatches/${dispatch.id}/claim`,
      { nonce: NONCE },
      await bearer("runner", "other"),
    );
    expect([reply.status, reply.body.error.code]).toEqual([404, "not_found"]);
    const unknown = await rig.post(
      "/api/dispatches/s_none-1/claim",
      { nonce: NONCE },
      await bearer("runner", "other"),
    );
    const words = (text: string, id: string) => text.replaceAll(id, "<id>");
    expect(words(reply.body.error.message, dispatch.id)).toBe(words(unknown.body.error.message, "s_none-1"));
    expect((await stored(dispatch.id))?.state).toBe("offered");
  });

  it("needs a service JWT, a nonce that can't be guessed, and a LiveKit; nothing is used up without", async () => {
    const { dispatch } = await offered();
    const url = `/api/dispatches/${dispatch.id}/claim`;
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
    expect((await stored(dispatch.id))?.state).toBe("offered");
  });

  it("says what to set where no key is", async () => {
    const { dispatch } = await offered({ env: { CONTROL_PLANE_JWT_SECRET: "" } });
    const { status, body } = await claim(dispatch.id);
    expect(status).toBe(401);
    expect(body.error.message).toContain("CONTROL_PLANE_JWT_SECRET");
  });
});

describe("a dispatch", () => {
  it("is shown without any token, nonce or hash of one", async () => {
    const { session, dispatch } = await offered();
    const { body: claimed } = await claim(dispatch.id);
    const { status, body } = await rig.get(`/api/dispatches/${dispatch.id}`, await bearer("another-runner"));
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      dispatchId: dispatch.id,
      sessionId: session,
      attempt: 1,
      profile: "echo",
      provider: "webhook",
      room: dispatch.room,
      identity: dispatch.identity,
      traceId: "trace-1",
      state: "claimed",
      claimedBy: "runner",
      why: null,
      expiresAt: AT,
    });
    expect((await rig.get(`/api/dispatches/${dispatch.id}`)).status).toBe(401);
    expect((await rig.get(`/api/dispatches/${dispatch.id}`, await bearer("r", "other"))).status).toBe(404);
    // Nor is it anywhere else.
    const everything = JSON.stringify([
      await rig.bus.history(dispatches, `default.${dispatch.id}`),
      await rig.bus.history(sessions, sessionKey("default", session)),
      rig.said(),
      rig.server.stored(runtimeEvents),
    ]);
    expect(everything).not.toContain(claimed.token);
    expect(everything).not.toContain("eyJ");
    expect(everything).not.toContain(NONCE);
  });
});

describe("what a runner says", () => {
  const say = async (id: string, what: string, body: object = {}, subject = "runner") =>
    rig.post(`/api/dispatches/${id}/${what}`, body, await bearer(subject));
  const stateIs = (session: string, state: string) =>
    until(async () => (await recordOf(session))?.state === state, { what: `it is ${state}` });

  it("takes the session to joined, ready and its end", async () => {
    const { session, dispatch } = await offered();
    await claim(dispatch.id);
    expect((await say(dispatch.id, "joined", { tookMs: 12.4 })).body).toMatchObject({
      sessionId: session,
      attempt: 1,
      state: "dispatched",
    });
    await stateIs(session, "joined");
    await say(dispatch.id, "ready", { tookMs: 40 });
    await stateIs(session, "ready");
    expect(await recordOf(session)).toMatchObject({
      host: "provider-webhook",
      identity: dispatch.identity,
      room: dispatch.room,
      warm: "cold",
      timings: { joinMs: 12, readyMs: 40 },
    });
    await say(dispatch.id, "ended", { why: "the caller said goodbye" });
    await stateIs(session, "ended");
    const record = await recordOf(session);
    expect([record?.endedReason, record?.history.at(-1)?.why]).toEqual([
      "completed",
      "the caller said goodbye",
    ]);
    // Said again, it is over, which is no error.
    const again = await say(dispatch.id, "ended");
    expect([again.status, again.body.state]).toEqual([200, "ended"]);
  });

  it("counts also in another order and twice", async () => {
    const { session, dispatch } = await offered();
    await claim(dispatch.id);
    for (const what of ["ready", "joined", "ready", "joined"]) {
      expect((await say(dispatch.id, what)).status).toBe(200);
    }
    await stateIs(session, "ready");
    expect((await recordOf(session))?.history.map(({ state }) => state)).toEqual([
      "requested",
      "dispatched",
      "ready",
    ]);
  });

  it("is measured by the gateway where the runner has no figure", async () => {
    const { session, dispatch } = await offered();
    await claim(dispatch.id);
    await say(dispatch.id, "joined");
    await stateIs(session, "joined");
    expect((await recordOf(session))?.timings.joinMs).toBeGreaterThanOrEqual(0);
  });

  it("ends a session whose user left, and tries one again whose agent failed", async () => {
    const { session, dispatch } = await offered();
    await claim(dispatch.id);
    await say(dispatch.id, "ready");
    await stateIs(session, "ready");
    await say(dispatch.id, "ended", { error: "the model is gone", why: "x" });
    await stateIs(session, "requested");
    expect(await recordOf(session)).toMatchObject({ attempt: 2, failures: 1, recovering: true });

    await rig.move(session, atTheProvider({ attempt: 2 }));
    const second = await offer(session, 2);
    await claim(second.id);
    await say(second.id, "ready");
    await stateIs(session, "ready");
    await say(second.id, "ended", { userLeft: true });
    await stateIs(session, "ended");
    expect((await recordOf(session))?.endedReason).toBe("completed");
  });

  it("may be that it can't serve what it was asked for, which it needs no claim for", async () => {
    const { session, dispatch } = await offered();
    await say(dispatch.id, "ended", { error: "no such agent here", worthRepeating: false });
    await stateIs(session, "ended");
    const record = await recordOf(session);
    expect([record?.endedReason, record?.history.at(-1)?.why]).toEqual(["agent_error", "no such agent here"]);
  });

  it("counts of nobody who didn't claim, and of no former attempt", async () => {
    const { session, dispatch } = await offered();
    const early = await say(dispatch.id, "ready");
    expect([early.status, early.body.error.code]).toEqual([409, "conflict"]);
    await claim(dispatch.id);
    for (const what of ["joined", "ready", "ended"]) {
      const foreign = await say(dispatch.id, what, {}, "another-runner");
      expect([foreign.status, foreign.body.error.code]).toEqual([403, "forbidden"]);
    }
    await rig.move(session, loseAgent({ id: session, attempt: 1 }, "its room is empty"));
    const late = await say(dispatch.id, "ready");
    expect([late.status, late.body.error.code]).toEqual([410, "dispatch_over"]);
    expect(late.body.error.message).toContain("Leave the room");
    expect((await say(dispatch.id, "ended", { error: "too late" })).status).toBe(200);
    expect(await recordOf(session)).toMatchObject({ state: "requested", attempt: 2 });
    expect(rig.said().map(({ type }) => type)).toEqual(["requested"]);
  });

  it("brings no token into the session's history", async () => {
    const { session, dispatch } = await offered();
    const { body } = await claim(dispatch.id);
    await say(dispatch.id, "ended", { error: `refused: ${body.token}`, worthRepeating: false });
    await stateIs(session, "ended");
    expect((await recordOf(session))?.history.at(-1)?.why).toBe("refused: (a token)");
  });
});
