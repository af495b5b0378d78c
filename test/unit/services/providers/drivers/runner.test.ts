// The driver of agent runners, which receive launches over HTTP.
import { describe, expect, it, test } from "vitest";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import { aHandoff, handoffWorld } from "../../../../kit/worlds/handoff-world.ts";

const answer =
  (status: number, body?: string, headers: Record<string, string> = {}) =>
  async () =>
    new Response(body ?? null, { status, headers });
const unreachable = async () => {
  throw new TypeError("fetch failed", {
    cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }),
  });
};

async function started(options: Parameters<typeof handoffWorld>[0] = {}) {
  const world = await handoffWorld(options);
  const control = await world.control("control-1");
  const session = () => world.all()[0];
  return { world, control, session };
}

/** A session whose agent has claimed, is in the room with its caller, and has reported ready. */
async function ready() {
  const all = await started();
  const { world, session } = all;
  await world.handOff(aHandoff());
  await world.until(() => world.runner.seen.length === 1, "the request");
  const claimed = await world.outcome(world.claim(`${session()?.sessionId}-1`));
  world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
  world.livekit.rooms.join("call-1", { identity: "caller", isAgent: false });
  await world.report(claimed, "ready");
  await world.until(() => session()?.state === "ready", "ready");
  return { ...all, claimed };
}

describe("webhook provider", () => {
  test.each([
    ["answers 500", answer(500, "oh")],
    ["answers 503", answer(503)],
    ["is overloaded", answer(429)],
    ["can't be reached", unreachable],
  ])("repeats a request with the same id and body when the runner %s", async (_what, once) => {
    const { world, session } = await started();
    world.runner.script.push(once, once);
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length === 3, "the third request");
    await world.clock.advance(500);
    const [first, ...others] = world.runner.seen;
    for (const other of others) expect({ ...other }).toEqual({ ...first });
    expect(first?.isSigned).toBe(true);
    expect(session()).toMatchObject({ state: "dispatched", attempt: 1, failures: 0 });
    const claimed = await world.outcome(world.claim(`${session()?.sessionId}-1`));
    expect(claimed.attempt).toBe(1);
  });

  it("waits as long as the runner's Retry-After", async () => {
    const { world } = await started();
    world.runner.script.push(answer(503, "", { "retry-after": "5" }));
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length === 1, "the request");
    await world.clock.advance(4900);
    expect(world.runner.seen).toHaveLength(1);
    await world.clock.advance(200);
    expect(world.runner.seen).toHaveLength(2);
  });

  test.each([
    ["refuses the request", answer(404, "no such agent"), /answered 404: no such agent/],
    ["redirects the request", answer(302, "", { location: "http://elsewhere" }), /redirect/],
  ])("ends the session with the runner's reason when the runner %s", async (_what, once, reason) => {
    const { world, session } = await started();
    world.runner.script.push(once);
    await world.handOff(aHandoff());
    await world.until(() => session()?.state === "ended", "the end");
    expect(session()).toMatchObject({ endedReason: "provider_error", fault: "provider" });
    expect(session()?.history.at(-1)?.reason).toMatch(reason);
    await world.clock.advance(30_000);
    expect(world.runner.seen).toHaveLength(1);
  });

  it("fails the attempt when the runner is away for long, and asks again in the next attempt", async () => {
    const { world, session } = await started();
    while (world.runner.script.length < 50) world.runner.script.push(unreachable);
    await world.handOff(aHandoff());
    await world.until(() => session()?.attempt === 2, "the next attempt");
    world.runner.script.length = 0;
    // The claim was withdrawn before the attempt failed, not because the session moved on.
    expect(world.claimRecord(`${session()?.sessionId}-1`)).toMatchObject({
      state: "expired",
      reason: expect.stringContaining("ECONNREFUSED"),
    });
    await world.until(() => world.runner.seen.some(({ body }) => body.attempt === 2), "its request");
    await world.outcome(world.claim(`${session()?.sessionId}-2`));
    await expect(world.outcome(world.claim(`${session()?.sessionId}-1`))).rejects.toMatchObject({
      code: "claim_expired",
    });
    const tries = world.runner.seen.filter(({ body }) => body.attempt === 1).length;
    expect(tries).toBeGreaterThan(4);
    expect(tries).toBeLessThan(12);
  });

  it("sends no request for an expired claim", async () => {
    const { world, session } = await started({ claimMs: 3000 });
    while (world.runner.script.length < 50) world.runner.script.push(unreachable);
    await world.handOff(aHandoff());
    await world.until(() => session()?.attempt === 2, "the next attempt");
    expect(world.clock.monotonic()).toBeLessThan(9000);
    expect(session()?.history.at(-1)?.reason).toBe("nobody claimed it within 3 s");
  });

  it("accepts a claim as the launch when all answers are lost", async () => {
    const { world, session } = await started();
    const claimWithoutAnswer = async (seen: { body: { dispatch_id: string } }): Promise<Response> => {
      await world.claim(seen.body.dispatch_id);
      return unreachable();
    };
    world.runner.script.push(claimWithoutAnswer as never);
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length === 1, "the request");
    await world.clock.advance(20_000);
    expect(world.runner.seen).toHaveLength(1);
    expect(session()).toMatchObject({ state: "dispatched", attempt: 1 });
  });

  it("sends no request for a session that has ended", async () => {
    const { world, session } = await started();
    while (world.runner.script.length < 50) world.runner.script.push(unreachable);
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length === 2, "the second request");
    await world.outcome(
      world.client.streams.publish(sessionEvents, {
        type: "end_requested",
        tenant: "acme",
        sessionId: session()?.sessionId ?? "",
        at: AT,
        endedReason: "cancelled",
        reason: "enough",
      }),
    );
    await world.until(() => session()?.state === "ended", "the end");
    await world.clock.advance(20_000);
    expect(world.runner.seen.length).toBeLessThanOrEqual(3);
  });

  it("ends a session at once when no runner is configured", async () => {
    const { world, session } = await started();
    await world.handOff(aHandoff({ agent_id: "nobody" }));
    await world.until(() => session()?.state === "ended", "the end");
    expect(session()?.history.at(-1)?.reason).toContain("AGENT_LAUNCHER_URL");
  });

  it("launches a replacement in the same room when the agent leaves", async () => {
    const { world, session, claimed } = await ready();
    await world.clock.advance(3000);
    world.livekit.rooms.leave("call-1", claimed.identity);
    await world.until(() => world.runner.seen.length === 2, "the next request");
    expect(world.runner.seen[1]?.body).toMatchObject({ attempt: 2, recovering: true, room: "call-1" });
    expect(session()).toMatchObject({ attempt: 2, recovering: true });
  });

  it("replaces a listed agent that stopped answering within seconds", async () => {
    const { world, session } = await ready();
    // An agent that never answered may be unable to.
    world.runner.client = "silent";
    await world.clock.advance(20_000);
    expect(session()).toMatchObject({ state: "ready", attempt: 1 });
    world.runner.client = "responds";
    await world.clock.advance(5000);
    world.runner.client = "silent";
    const fellSilentAtMs = world.clock.monotonic();
    await world.until(() => session()?.attempt === 2, "the next attempt");
    expect(world.clock.monotonic() - fellSilentAtMs).toBeLessThan(6000);
    expect(session()?.history.find(({ reason }) => reason?.includes("does not answer"))).toBeDefined();
  });

  it("repeats the request with the same id when the instance dies during it", async () => {
    const { world, control, session } = await started();
    world.runner.script.push(() => new Promise(() => {}));
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length === 1, "the request");
    control.kill();
    await world.control("control-2");
    await world.until(() => world.runner.seen.length === 2, "the next request");
    expect(world.runner.seen[1]).toEqual(world.runner.seen[0]);
    expect(session()).toMatchObject({ state: "dispatched", attempt: 1 });
  });
});

describe("webhook provider, shutting down", () => {
  test.each([
    ["during its request", () => new Promise<Response>(() => {})],
    ["during its backoff", unreachable],
  ])("leaves the launch to another instance at once %s, and loses no attempt", async (_what, once) => {
    const { world, control, session } = await started();
    world.runner.script.push(once);
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length === 1, "the request");
    const stoppedAtMs = world.clock.monotonic();
    await control.stop();
    expect(world.clock.monotonic() - stoppedAtMs).toBeLessThan(1000);
    expect(session()).toMatchObject({ state: "dispatched", attempt: 1, failures: 0 });
    await world.control("control-2");
    await world.until(() => world.runner.seen.length === 2, "the next request");
    expect(world.runner.seen[1]).toEqual(world.runner.seen[0]);
    const claimed = await world.outcome(world.claim(`${session()?.sessionId}-1`));
    expect(claimed.attempt).toBe(1);
  });
});
