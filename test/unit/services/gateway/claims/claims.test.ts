// Claims over HTTP: one token for all who race, and the reports of the runner that has claimed.
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

/** A session whose first attempt the webhook provider has, and the offer of its claim. */
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
  await until(async () => (await recordOf(sessionId))?.state === "dispatched", {
    what: "the session is dispatched",
  });
  const ticket = await offer(sessionId, 1);
  return { sessionId, ticket };
}

const recordOf = async (sessionId: string) =>
  (await rig.bus.kv.get(sessions, sessionKey({ tenant: "default", sessionId })))?.value;

async function offer(sessionId: string, attempt: number, change: Partial<ClaimRecord> = {}) {
  const ticket: ClaimRecord = {
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
  await rig.bus.kv.update(claims, ticket, 0);
  return ticket;
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

const refusals = () =>
  rig.server
    .stored(handoffEvents)
    .flatMap(({ message: m }) => ("reason" in m && m.type === "dispatch_claim_failed" ? [m.reason] : []));

describe("POST /api/claims/:id/claim", () => {
  it("returns the agent's token for the room, and all the agent needs to know", async () => {
    const { sessionId, ticket } = await offered();
    const { status, body, headers } = await claim(ticket.claimId);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      success: true,
      claimId: ticket.claimId,
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
    expect(await stored(ticket.claimId)).toMatchObject({ state: "claimed", claimedBy: "runner" });
  });

  it("succeeds for one of a hundred requests that race over two gateways", async () => {
    const { ticket } = await offered();
    const other = await rig.another();
    const claimants = Array.from({ length: 100 }, (_, index) => ({
      nonce: `nonce-of-claimant-${String(index).padStart(3, "0")}`,
      subject: `runner-${index % 7}`,
    }));
    const replies = await Promise.all(
      claimants.map(async ({ nonce, subject }, index) => {
        const headers = await bearer(subject);
        const payload = { nonce };
        const url = `/api/claims/${ticket.claimId}/claim`;
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
    expect(await stored(ticket.claimId)).toMatchObject({ state: "claimed", claimedBy: winner?.subject });
    const again = await claim(ticket.claimId, winner?.nonce, winner?.subject);
    expect(again.status).toBe(200);
    // Published once, however many were refused.
    await until(() => refusals().length > 0, { what: "the refusal is published" });
    expect(refusals()).toEqual(["used"]);
  });

  it("is repeatable with the same nonce by the same caller only", async () => {
    const { ticket } = await offered();
    const first = await claim(ticket.claimId);
    const again = await claim(ticket.claimId);
    expect([first.status, again.status]).toEqual([200, 200]);
    expect({ ...again.body, token: "" }).toEqual({ ...first.body, token: "" });
    for (const [nonce, subject] of [
      ["another-nonce-of-0123", "runner"],
      [NONCE, "another-runner"],
    ] as const) {
      const refused = await claim(ticket.claimId, nonce, subject);
      expect([refused.status, refused.body.error.code]).toEqual([409, "claim_used"]);
    }
    await move(ticket.claimId, { state: "used" });
    expect((await claim(ticket.claimId)).body.error).toMatchObject({
      code: "claim_used",
      retryable: false,
    });
  });

  it("is refused with the reason after the claim expired", async () => {
    const { sessionId, ticket } = await offered();
    await move(ticket.claimId, { state: "expired", reason: "nobody claimed it within 60 s" });
    const { status, body } = await claim(ticket.claimId);
    expect(status).toBe(410);
    expect(body.error).toMatchObject({ code: "claim_expired", sessionId });
    expect(body.error.message).toContain("nobody claimed it within 60 s");
    await until(() => refusals().length > 0, { what: "the refusal is published" });
    expect(refusals()).toEqual(["expired"]);
  });

  it("is fenced by the session's record, even if the claim is still offered", async () => {
    const { sessionId, ticket } = await offered();
    await rig.move(sessionId, loseAgent({ sessionId, attempt: 1 }, "it went away"));
    const late = await claim(ticket.claimId);
    expect([late.status, late.body.error.code]).toEqual([410, "claim_over"]);
    expect(late.body.error.message).toContain("attempt 2");

    const second = await offer(sessionId, 2);
    expect((await claim(second.claimId)).body.error.code).toBe("claim_over"); // The provider has not been asked yet.
    await rig.move(sessionId, atTheProvider({ attempt: 2 }));
    expect((await claim(second.claimId)).status).toBe(200);
    await rig.post(`/api/session/${sessionId}/end`);
    const ended = await claim(second.claimId); // Not even a claim that was granted gets another token.
    expect([ended.status, ended.body.error.code]).toEqual([410, "claim_over"]);
    expect((await stored(ticket.claimId))?.state).toBe("offered");
  });

  it("is refused while another host has the attempt", async () => {
    rig = await startRig({ env: { CONTROL_PLANE_JWT_SECRET: SECRET } });
    const { body } = await rig.post("/api/session/start", {});
    const ticket = await offer(body.sessionId, 1);
    expect((await claim(ticket.claimId)).body.error.code).toBe("claim_over");
  });

  it("returns 404 for another tenant, as if the claim did not exist", async () => {
    const { ticket } = await offered();
    const reply = await rig.post(
      `/api/claims/${ticket.claimId}/claim`,
      { nonce: NONCE },
      await bearer("runner", "other"),
    );
    expect([reply.status, reply.body.error.code]).toEqual([404, "not_found"]);
    const unknown = await rig.post(
      "/api/claims/s_none-1/claim",
      { nonce: NONCE },
      await bearer("runner", "other"),
    );
    const withoutId = (text: string, id: string) => text.replaceAll(id, "<id>");
    expect(withoutId(reply.body.error.message, ticket.claimId)).toBe(
      withoutId(unknown.body.error.message, "s_none-1"),
    );
    expect((await stored(ticket.claimId))?.state).toBe("offered");
  });

  it("requires a service JWT and a long nonce, and leaves the claim offered otherwise", async () => {
    const { ticket } = await offered();
    const url = `/api/claims/${ticket.claimId}/claim`;
    const none = await rig.post(url, { nonce: NONCE });
    expect([none.status, none.body.error.code]).toEqual([401, "unauthorized"]);
    const wrong = await signServiceJwt("another-secret-that-is-long-enough", {
      tenant: "default",
      subject: "x",
    });
    expect((await rig.post(url, { nonce: NONCE }, { authorization: `Bearer ${wrong}` })).status).toBe(401);
    for (const nonce of ["", "short", "x".repeat(129), "a nonce with some spaces"])
      expect((await rig.post(url, { nonce }, await bearer())).status).toBe(400);
    expect((await rig.post(url, {}, await bearer())).status).toBe(400);
    expect((await stored(ticket.claimId))?.state).toBe("offered");
  });

  it("names the missing setting when no key is configured", async () => {
    const { ticket } = await offered({ env: { CONTROL_PLANE_JWT_SECRET: "" } });
    const { status, body } = await claim(ticket.claimId);
    expect(status).toBe(401);
    expect(body.error.message).toContain("CONTROL_PLANE_JWT_SECRET");
  });
});

describe("GET /api/claims/:id", () => {
  it("returns the claim without any token, nonce or hash of one", async () => {
    const { sessionId, ticket } = await offered();
    const { body: claimed } = await claim(ticket.claimId);
    const { status, body } = await rig.get(`/api/claims/${ticket.claimId}`, await bearer("another-runner"));
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      claimId: ticket.claimId,
      sessionId,
      attempt: 1,
      profile: "echo",
      provider: "webhook",
      room: ticket.room,
      identity: ticket.identity,
      traceId: "trace-1",
      state: "claimed",
      claimedBy: "runner",
      reason: null,
      expiresAt: AT,
    });
    expect((await rig.get(`/api/claims/${ticket.claimId}`)).status).toBe(401);
    expect((await rig.get(`/api/claims/${ticket.claimId}`, await bearer("r", "other"))).status).toBe(404);
    // The secrets are nowhere else either.
    const stored = await rig.bus.kv.history(claims, `default.${ticket.claimId}`);
    const record = await rig.bus.kv.history(sessions, sessionKey({ tenant: "default", sessionId }));
    const everything = JSON.stringify([stored, record, rig.events(), rig.server.stored(handoffEvents)]);
    expect(everything).not.toContain(claimed.token);
    expect(everything).not.toContain("eyJ");
    expect(everything).not.toContain(NONCE);
  });
});

describe("runner reports over HTTP", () => {
  const report = async (id: string, kind: string, body: object = {}, subject = "runner") =>
    rig.post(`/api/claims/${id}/${kind}`, body, await bearer(subject));
  const stateIs = (sessionId: string, state: string) =>
    until(async () => (await recordOf(sessionId))?.state === state, { what: `the session is ${state}` });

  it("moves the session to joined, ready and ended", async () => {
    const { sessionId, ticket } = await offered();
    await claim(ticket.claimId);
    expect((await report(ticket.claimId, "joined", { tookMs: 12.4 })).body).toMatchObject({
      sessionId,
      attempt: 1,
      state: "dispatched",
    });
    await stateIs(sessionId, "joined");
    await report(ticket.claimId, "ready", { tookMs: 40 });
    await stateIs(sessionId, "ready");
    expect(await recordOf(sessionId)).toMatchObject({
      host: "provider-webhook",
      identity: ticket.identity,
      room: ticket.room,
      warm: "cold",
      timings: { joinMs: 12, readyMs: 40 },
    });
    await report(ticket.claimId, "ended", { reason: "the caller said goodbye" });
    await stateIs(sessionId, "ended");
    const record = await recordOf(sessionId);
    expect([record?.endedReason, record?.history.at(-1)?.reason]).toEqual([
      "completed",
      "the caller said goodbye",
    ]);
    // A repeated report of the end is no error.
    const again = await report(ticket.claimId, "ended");
    expect([again.status, again.body.state]).toEqual([200, "ended"]);
  });

  it("accepts reports in any order and repeatedly", async () => {
    const { sessionId, ticket } = await offered();
    await claim(ticket.claimId);
    for (const kind of ["ready", "joined", "ready", "joined"]) {
      expect((await report(ticket.claimId, kind)).status).toBe(200);
    }
    await stateIs(sessionId, "ready");
    expect((await recordOf(sessionId))?.history.map(({ state }) => state)).toEqual([
      "requested",
      "dispatched",
      "ready",
    ]);
  });

  it("measures the time itself if the runner reports none", async () => {
    const { sessionId, ticket } = await offered();
    await claim(ticket.claimId);
    await report(ticket.claimId, "joined");
    await stateIs(sessionId, "joined");
    expect((await recordOf(sessionId))?.timings.joinMs).toBeGreaterThanOrEqual(0);
  });

  it("ends a session whose user left, and retries one whose agent failed", async () => {
    const { sessionId, ticket } = await offered();
    await claim(ticket.claimId);
    await report(ticket.claimId, "ready");
    await stateIs(sessionId, "ready");
    await report(ticket.claimId, "ended", { error: "the model is gone", reason: "x" });
    await stateIs(sessionId, "requested");
    expect(await recordOf(sessionId)).toMatchObject({ attempt: 2, failures: 1, recovering: true });

    await rig.move(sessionId, atTheProvider({ attempt: 2 }));
    const second = await offer(sessionId, 2);
    await claim(second.claimId);
    await report(second.claimId, "ready");
    await stateIs(sessionId, "ready");
    await report(second.claimId, "ended", { userLeft: true });
    await stateIs(sessionId, "ended");
    expect((await recordOf(sessionId))?.endedReason).toBe("completed");
  });

  it("lets a runner decline a session without a claim", async () => {
    const { sessionId, ticket } = await offered();
    await report(ticket.claimId, "ended", { error: "no such agent here", retryable: false });
    await stateIs(sessionId, "ended");
    const record = await recordOf(sessionId);
    expect(record?.endedReason).toBe("agent_error");
    expect(record?.history.at(-1)?.reason).toBe("no such agent here");
  });

  it("refuses reports of another runner, without a claim, and of an earlier attempt", async () => {
    const { sessionId, ticket } = await offered();
    const early = await report(ticket.claimId, "ready");
    expect([early.status, early.body.error.code]).toEqual([409, "conflict"]);
    await claim(ticket.claimId);
    for (const kind of ["joined", "ready", "ended"]) {
      const foreign = await report(ticket.claimId, kind, {}, "another-runner");
      expect([foreign.status, foreign.body.error.code]).toEqual([403, "forbidden"]);
    }
    await rig.move(sessionId, loseAgent({ sessionId, attempt: 1 }, "its room is empty"));
    const late = await report(ticket.claimId, "ready");
    expect([late.status, late.body.error.code]).toEqual([410, "claim_over"]);
    expect(late.body.error.message).toContain("Leave the room");
    expect((await report(ticket.claimId, "ended", { error: "too late" })).status).toBe(200);
    expect(await recordOf(sessionId)).toMatchObject({ state: "requested", attempt: 2 });
    expect(rig.events().map(({ type }) => type)).toEqual(["requested"]);
  });

  it("redacts tokens in the session's history", async () => {
    const { sessionId, ticket } = await offered();
    const { body } = await claim(ticket.claimId);
    await report(ticket.claimId, "ended", { error: `refused: ${body.token}`, retryable: false });
    await stateIs(sessionId, "ended");
    expect((await recordOf(sessionId))?.history.at(-1)?.reason).toBe("refused: (a token)");
  });
});
