// Claims in simulated time: granted once despite faults of the store, expired, closed and deleted on time.
import { describe, expect, it, test } from "vitest";
import { claims, sessions } from "../../../../../libs/contracts/buckets.ts";
import { isError } from "../../../../../libs/contracts/errors.ts";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import { aHandoff, handoffWorld, LIMITS } from "../../../../kit/worlds/handoff-world.ts";

/** A session from a handoff, after its launch by the runner. */
async function launched(options: Parameters<typeof handoffWorld>[0] = {}) {
  const world = await handoffWorld(options);
  await world.control("control-1");
  await world.handOff(aHandoff());
  await world.until(() => world.runner.seen.length > 0, "the launch");
  const sessionId = world.all()[0]?.sessionId ?? "";
  return { world, sessionId, id: `${sessionId}-1` };
}

const end = (world: Awaited<ReturnType<typeof handoffWorld>>, sessionId: string) =>
  world.outcome(
    world.client.streams.publish(sessionEvents, {
      type: "end_requested",
      tenant: "acme",
      sessionId,
      at: AT,
      endedReason: "completed",
      reason: "enough",
    }),
  );

describe("claiming by a hundred racing requests", () => {
  const faults = {
    hopMs: [1, 30],
    slow: 0.2,
    slowMs: 200,
    ambiguous: 0.1,
    resend: 0.1,
    refuse: 0.05,
    inFlightMs: [1, 20],
  } as const;

  test.each(
    [1, 2, 3, 4, 5, 6].flatMap((seed) => [1, 3].map((replicas) => [seed, replicas as 1 | 3] as const)),
  )(
    "grants one token, with two gateways and a store that loses answers (seed %i, %i replicas)",
    async (seed, replicas) => {
      const { world, id } = await launched({ seed, replicas });
      world.server.setFaults(faults);
      const gateways = [world.gateway("gateway-a"), world.gateway("gateway-b")] as const;
      const attempts = Array.from({ length: 100 }, (_, index) =>
        world
          .claim(id, { nonce: `nonce-${index}`, at: gateways[index % 2 === 0 ? 0 : 1] })
          .then((answer) => ({ answer, nonce: `nonce-${index}` }))
          .catch((error: unknown) => ({ error })),
      );
      const results = await world.outcome(Promise.all(attempts));
      world.server.calm();
      const won = results.filter((result) => "answer" in result);
      const wrong = results.filter(
        (result) =>
          "error" in result &&
          !isError(result.error, "claim_used") &&
          !isError(result.error, "storage_unavailable"),
      );
      expect(wrong).toEqual([]);
      // If the store lost the winner's answer, the winner's nonce still gets the token, and no other nonce
      // does.
      expect(won.length).toBeLessThanOrEqual(1);
      const again = await world.outcome(
        Promise.all(
          results.map((_, index) => world.claim(id, { nonce: `nonce-${index}` }).catch(() => undefined)),
        ),
      );
      expect(again.filter((answer) => answer !== undefined)).toHaveLength(1);
      const writes = world.server
        .written(claims)
        .filter(({ value }) => value?.claimId === id && value.state === "claimed");
      expect(new Set(writes.map(({ value }) => value?.nonceHash)).size).toBe(1);
    },
  );
});

describe("claim manager", () => {
  it("accepts a repeated claim with the same nonce during the replay window only", async () => {
    const { world, id } = await launched();
    const first = await world.outcome(world.claim(id));
    world.livekit.rooms.join("call-1", { identity: first.identity, isAgent: true });
    await world.clock.advance(LIMITS.repeatMs - 2000);
    const again = await world.outcome(world.claim(id));
    expect(again.token).not.toBe(first.token);
    expect({ ...again, token: "" }).toEqual({ ...first, token: "" });
    await world.clock.advance(4000);
    expect(world.claimRecord(id)?.state).toBe("used");
    await expect(world.outcome(world.claim(id))).rejects.toMatchObject({ code: "claim_used" });
  });

  it("expires an unclaimed offer by the instance's own clock", async () => {
    const { world, id } = await launched({ maxAttempts: 1 });
    await world.clock.advance(LIMITS.claimMs - 1000);
    expect(world.claimRecord(id)?.state).toBe("offered");
    await world.clock.advance(2000);
    expect(world.claimRecord(id)).toMatchObject({
      state: "expired",
      reason: "nobody claimed it within 20 s",
    });
    await expect(world.outcome(world.claim(id))).rejects.toMatchObject({ code: "claim_expired" });
  });

  it("counts an offer's age from its first sight, also on an instance that started later", async () => {
    const { world, id } = await launched();
    await world.clock.advance(LIMITS.claimMs - 1000);
    await world.control("control-2");
    await world.clock.advance(900);
    expect(world.claimRecord(id)?.state).toBe("offered");
  });

  it("keeps a claim while its session lasts, and deletes it after the retention time", async () => {
    const { world, sessionId, id } = await launched();
    const claimed = await world.outcome(world.claim(id));
    world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
    world.livekit.rooms.join("call-1", { identity: "caller", isAgent: false });
    await world.report(claimed, "ready");
    await world.clock.advance(LIMITS.repeatMs + 5 * LIMITS.keepMs);
    expect(world.claimRecord(id)?.state).toBe("used");
    await end(world, sessionId);
    await world.clock.advance(1000);
    await expect(world.outcome(world.claim(id))).rejects.toMatchObject({ code: "claim_used" });
    await world.clock.advance(LIMITS.keepMs + 1000);
    expect(world.claimRecord(id)).toBeUndefined();
    await expect(world.outcome(world.claim(id))).rejects.toMatchObject({ code: "not_found" });
  });

  it("withdraws an offer when its session ends, so that nobody gets a token for an empty room", async () => {
    const { world, sessionId, id } = await launched();
    await end(world, sessionId);
    await expect(world.outcome(world.claim(id))).rejects.toMatchObject({
      code: expect.stringMatching(/over|expired/),
    });
    await world.until(() => world.claimRecord(id)?.state === "expired", "its end");
  });

  it("evicts an agent that joins after its attempt was lost", async () => {
    const { world, sessionId, id } = await launched();
    const claimed = await world.outcome(world.claim(id));
    // The session loses this attempt before the agent joins.
    await world.outcome(
      world.client.streams.publish(sessionEvents, {
        type: "agent_lost",
        tenant: "acme",
        sessionId,
        attempt: 1,
        at: AT,
        reason: "it took too long",
      }),
    );
    await world.until(() => world.record(sessionId)?.attempt === 2, "the next attempt");
    await world.clock.advance(5000);
    world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
    const isThere = async () =>
      (await world.livekit.rooms.participants("call-1")).some(
        ({ identity }) => identity === claimed.identity,
      );
    expect(await isThere()).toBe(true);
    await world.clock.advance(2600);
    expect(await isThere()).toBe(false);
  });

  it("stores no token anywhere", async () => {
    const { world, sessionId, id } = await launched();
    const claimed = await world.outcome(world.claim(id));
    await world.report(claimed, "ready");
    await world.until(() => world.record(sessionId)?.state === "ready", "ready");
    const everything = JSON.stringify([
      world.server.written(claims),
      world.server.written(sessions),
      world.server.stored(sessionEvents),
      world.handoffEvents(),
      world.runner.seen,
    ]);
    expect(everything).not.toContain(claimed.token);
    expect(everything).not.toContain("eyJ");
  });
});
