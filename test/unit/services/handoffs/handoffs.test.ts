// Handoffs from their message to their session, in simulated time: each accepted and reported once.
import { describe, expect, it } from "vitest";
import { DEDUPE_MS } from "../../../../libs/bus/delivery-rules.ts";
import { hosts } from "../../../../libs/contracts/buckets.ts";
import { deadLetters, handoffRequests, sessionEvents } from "../../../../libs/contracts/streams.ts";
import { AT, aHost } from "../../../kit/fixtures/sessions.ts";
import { aHandoff, handoffWorld } from "../../../kit/worlds/handoff-world.ts";

describe("the handoffs service", () => {
  it("leaves handoffs in the stream until an instance runs that accepts them", async () => {
    const world = await handoffWorld();
    const idle = await world.control("control-1", { takesHandoffs: false });
    await world.handOff(aHandoff());
    await world.clock.advance(120_000);
    expect(world.all()).toEqual([]);
    expect(world.handoffEvents()).toEqual([]);
    expect(world.server.stored(handoffRequests)).toHaveLength(1);
    await idle.stop();
    await world.control("control-2");
    await world.until(() => world.all().length > 0, "the session");
    expect(world.all()).toMatchObject([{ room: "call-1", profile: "support" }]);
  });

  it("limits the handoffs in progress, and processes the rest later", async () => {
    const world = await handoffWorld();
    const held: (() => void)[] = [];
    await world.control("control-1", {
      batchSize: 3,
      async beforePublish() {
        await new Promise<void>((resolve) => held.push(resolve));
      },
    });
    for (let n = 1; n <= 8; n++) await world.handOff(aHandoff({ trace_id: `trace-${n}`, room: `call-${n}` }));
    await world.clock.advance(2000);
    expect(held).toHaveLength(3);
    held.shift()?.();
    await world.clock.advance(2000);
    expect(held).toHaveLength(3);
    for (let rest = 7; rest > 0; rest--) {
      held.shift()?.();
      await world.clock.advance(2000);
    }
    expect(world.all()).toHaveLength(8);
  });
});

describe("a handoff with an agent runner", () => {
  it("goes through ready to its end, with each step reported once", async () => {
    const world = await handoffWorld();
    await world.control("control-1");
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length > 0, "the launch");
    const [seen] = world.runner.seen;
    const session = world.all()[0];
    if (session === undefined || seen === undefined) throw new Error("there is none");
    expect(seen).toMatchObject({
      url: "http://runner/launch/support",
      isSigned: true,
      id: `acme.${session.sessionId}.1`,
    });
    expect(seen.body).toEqual({
      type: "agent_session.launch",
      version: 1,
      trace_id: "trace-1",
      tenant_id: "acme",
      agent_id: "its-support",
      session_id: session.sessionId,
      attempt: 1,
      room: "call-1",
      call_id: "CA-1",
      dispatch_id: `${session.sessionId}-1`,
      dispatch_expires_at: expect.stringMatching(/^2026-/),
      claim_url: `https://greenroom.example/api/claims/${session.sessionId}-1/claim`,
      recovering: false,
      metadata: { language: "de", handoff: { trace_id: "trace-1", call_id: "CA-1" } },
    });
    expect((await world.livekit.rooms.list()).map(({ name }) => name)).toEqual(["call-1"]);

    const claimed = await world.outcome(world.claim(seen.body.dispatch_id));
    world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
    world.livekit.rooms.join("call-1", { identity: "caller", isAgent: false });
    await world.report(claimed, "joined");
    await world.report(claimed, "ready");
    await world.until(() => world.record(session.sessionId)?.state === "ready", "ready");
    await world.clock.advance(20_000);
    expect(world.record(session.sessionId)?.state).toBe("ready");
    world.livekit.rooms.leave("call-1", "caller");
    await world.until(() => world.record(session.sessionId)?.state === "ended", "the end");
    expect(world.record(session.sessionId)?.endedReason).toBe("completed");
    await world.clock.advance(5000);
    expect(world.eventNames()).toEqual([
      "handoff_dispatched 1",
      "dispatch_claimed 1",
      "agent_session_bootstrap_ready 1",
      "agent_session_launch_succeeded 1",
    ]);
    for (const event of world.handoffEvents()) {
      expect(event).toMatchObject({
        trace_id: "trace-1",
        tenant_id: "acme",
        session_id: session.sessionId,
        dispatch_id: `${session.sessionId}-1`,
        dispatch_expires_at: seen.body.dispatch_expires_at,
      });
    }
    expect(JSON.stringify(world.handoffEvents())).not.toContain("eyJ");
  });

  it("also works with simulated rooms, without LiveKit", async () => {
    const world = await handoffWorld({ mock: true });
    await world.control("control-1");
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length > 0, "the launch");
    const claimed = await world.outcome(world.claim(world.runner.seen[0]?.body.dispatch_id));
    await world.until(() => world.all()[0]?.state === "joined", "joined, which follows from the claim");
    await world.report(claimed, "ready");
    await world.until(() => world.all()[0]?.state === "ready", "ready");
    await world.clock.advance(60_000);
    expect(world.all()).toMatchObject([{ state: "ready", attempt: 1 }]);
  });

  it("is one session despite redelivery and repeated messages", async () => {
    const world = await handoffWorld({ faults: { loseAck: 0.5, repeat: 0.5 }, seed: 3 });
    await world.control("control-1");
    await world.control("control-2");
    for (let again = 0; again < 5; again++) await world.handOff(aHandoff({ metadata: { again } }));
    await world.until(() => world.runner.seen.length > 0, "the launch");
    await world.clock.advance(7000);
    expect(world.all()).toHaveLength(1);
    const requested = world.server
      .stored(sessionEvents)
      .filter(({ message }) => message.type === "requested");
    expect(requested).toHaveLength(1);
    expect(world.eventNames()).toEqual(["handoff_dispatched 1"]);
  });

  it("changes nothing when it is repeated after the deduplication window", async () => {
    const world = await handoffWorld();
    await world.control("control-1");
    await world.handOff(aHandoff());
    await world.until(() => world.runner.seen.length > 0, "the launch");
    const claimed = await world.outcome(world.claim(`${world.all()[0]?.sessionId}-1`));
    world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
    world.livekit.rooms.join("call-1", { identity: "caller", isAgent: false });
    await world.report(claimed, "ready");
    await world.clock.advance(2 * DEDUPE_MS);
    const before = world.server.stored(sessionEvents).length;
    await world.handOff(aHandoff());
    await world.clock.advance(5000);
    expect(world.server.stored(sessionEvents)).toHaveLength(before);
    expect(world.all()).toMatchObject([{ state: "ready", attempt: 1 }]);
  });

  it("is retried while nobody claims it, and reported as failed in the end", async () => {
    const world = await handoffWorld({ maxAttempts: 2 });
    await world.control("control-1");
    await world.handOff(aHandoff());
    await world.until(() => world.all()[0]?.state === "ended", "the end");
    await world.clock.advance(1000);
    expect(world.eventNames()).toEqual([
      "handoff_dispatched 1",
      "dispatch_claim_failed 1",
      "agent_session_launch_failed 1",
      "handoff_dispatched 2",
      "dispatch_claim_failed 2",
      "agent_session_launch_failed 2",
    ]);
    const failed = world.handoffEvents().filter(({ type }) => type === "agent_session_launch_failed");
    expect(failed).toMatchObject([
      { reason: "tried_again", final: false, dispatch_id: expect.stringMatching(/-1$/) },
      { reason: "provider_error", final: true, dispatch_id: expect.stringMatching(/-2$/) },
    ]);
    expect(world.runner.seen.map(({ body }) => body.attempt)).toEqual([1, 2]);
  });

  it("survives an instance that dies at any moment, and is neither lost nor served twice", async () => {
    for (let dieAtMs = 0; dieAtMs < 60; dieAtMs += 3) {
      const world = await handoffWorld({ faults: { hopMs: [1, 4] }, seed: dieAtMs + 1 });
      const first = await world.control("control-1");
      await world.handOff(aHandoff());
      await world.clock.advance(dieAtMs);
      first.kill();
      await world.control("control-2");
      await world.until(
        () => world.runner.seen.length > 0 && world.all()[0]?.state === "dispatched",
        `the launch after a death at ${dieAtMs} ms`,
      );
      const attempt = world.all()[0]?.attempt ?? 0;
      await world.until(() => world.runner.seen.some(({ body }) => body.attempt === attempt), "this launch");
      const claimed = await world.outcome(world.claim(`${world.all()[0]?.sessionId}-${attempt}`));
      world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
      await world.report(claimed, "ready");
      await world.until(() => world.all()[0]?.state === "ready", `ready after a death at ${dieAtMs} ms`);
      await world.clock.advance(3000);
      expect(world.all()).toHaveLength(1);
      expect(new Set(world.eventNames()).size).toBe(world.eventNames().length);
      expect(world.eventNames()).toContain(`agent_session_launch_succeeded ${attempt}`);
    }
  });
});

describe("a handoff without an agent runner", () => {
  it("gets its agent from its profile's provider, or waits for the pool", async () => {
    const world = await handoffWorld({ launcher: false });
    await world.control("control-1");
    await world.handOff(aHandoff({ agent_id: "elsewhere" }));
    await world.until(() => world.runner.seen.length > 0, "the launch");
    expect(world.all()[0]).toMatchObject({ provider: "webhook", profile: "elsewhere" });
    // No host is registered, so the profile may still appear.
    await world.handOff(aHandoff({ agent_id: "echo", room: "call-2" }));
    await world.until(() => world.all().length === 2, "the session");
    const waiting = world.all().find(({ profile }) => profile === "echo");
    expect(waiting).toMatchObject({ state: "requested", room: "call-2" });
    expect(waiting).not.toHaveProperty("provider");
  });

  it("is reported as failed for an unknown agent and for an occupied room", async () => {
    const world = await handoffWorld({ launcher: false });
    await world.outcome(world.client.kv.update(hosts, aHost("host-1"), 0));
    await world.control("control-1");
    await world.handOff(aHandoff({ agent_id: "nobody-knows" }));
    await world.until(() => world.handoffEvents().length > 0, "the answer");
    expect(world.handoffEvents()).toMatchObject([
      { type: "handoff_failed", reason: "unknown_agent", trace_id: "trace-1", agent_id: "nobody-knows" },
    ]);
    await world.handOff(aHandoff({ agent_id: "elsewhere" }));
    await world.until(() => world.all().length === 1, "the session");
    await world.handOff(aHandoff({ agent_id: "elsewhere", trace_id: "trace-2" }));
    await world.until(
      () => world.handoffEvents().some((event) => "reason" in event && event.reason === "room_taken"),
      "no",
    );
    expect(world.all()).toHaveLength(1);
  });

  it("is reported as failed when its session ends before any agent was requested", async () => {
    const world = await handoffWorld({ launcher: false });
    await world.control("control-1");
    await world.handOff(aHandoff({ agent_id: "echo" }));
    await world.until(() => world.all().length === 1, "the session");
    const { sessionId = "" } = world.all()[0] ?? {};
    await world.outcome(
      world.client.streams.publish(sessionEvents, {
        type: "end_requested",
        tenant: "acme",
        sessionId,
        at: AT,
        endedReason: "cancelled",
        reason: "the caller hung up",
      }),
    );
    await world.until(() => world.handoffEvents().length > 0, "the answer");
    await world.clock.advance(1000);
    expect(world.handoffEvents()).toMatchObject([
      { type: "handoff_failed", session_id: sessionId, reason: "cancelled", message: "the caller hung up" },
    ]);
  });
});

describe("an invalid message", () => {
  it("is reported once with its fault, and delays no other", async () => {
    const world = await handoffWorld();
    await world.control("control-1");
    await world.control("control-2");
    const wrong = [aHandoff({ version: 3 }), "text", 7, null, [], aHandoff({ metadata: 1 })];
    for (const message of wrong) await world.handOff(message);
    await world.handOff(aHandoff());
    await world.until(
      () => world.runner.seen.length > 0 && world.handoffEvents().length > wrong.length,
      "the launch",
    );
    await world.clock.advance(10_000);
    const invalid = world.handoffEvents().filter(({ type }) => type === "handoff_invalid_payload");
    const sequences = world.server
      .stored<unknown>(handoffRequests)
      .flatMap(({ subject, sequence }) => (subject === handoffRequests.subjects ? [sequence] : []));
    expect(invalid.map((event) => "sequence" in event && event.sequence)).toEqual(
      sequences.slice(0, wrong.length),
    );
    expect(world.all()).toHaveLength(1);
  });

  it("is reported as well when it is not JSON or was never processed", async () => {
    const world = await handoffWorld();
    await world.control("control-1");
    const dead = (sequence: number, payload: string, reason: string) =>
      world.outcome(
        world.client.streams.publish(deadLetters, {
          subject: handoffRequests.subjects,
          stream: handoffRequests.stream,
          sequence,
          reason,
          deliveries: 1,
          at: AT,
          payload,
        }),
      );
    await dead(7, "not json", "it is not JSON");
    await dead(8, JSON.stringify(aHandoff()), "it failed 30 times");
    await world.until(() => world.handoffEvents().length === 2, "the answers");
    expect(world.handoffEvents()).toMatchObject([
      { type: "handoff_invalid_payload", sequence: 7, message: "it is not JSON" },
      { type: "handoff_failed", trace_id: "trace-1", reason: "not_handled", message: "it failed 30 times" },
    ]);
  });
});
