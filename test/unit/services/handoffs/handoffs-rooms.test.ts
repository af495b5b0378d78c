// A handoff's room until the session's end: created when missing, otherwise kept.
import { expect, test } from "vitest";
import { hosts } from "../../../../libs/contracts/buckets.ts";
import type { Assign } from "../../../../libs/contracts/fleet/host.ts";
import { assignCommand, sessionEvents } from "../../../../libs/contracts/streams.ts";
import { AT, aHost } from "../../../kit/fixtures/sessions.ts";
import { aHandoff, handoffWorld } from "../../../kit/worlds/handoff-world.ts";

type World = Awaited<ReturnType<typeof handoffWorld>>;

const caller = { identity: "sip_+15550100", isAgent: false };
const friend = { identity: "sip_+15550101", isAgent: false };

const inside = async (world: World) =>
  (await world.livekit.rooms.participants("call-1")).map(({ identity }) => identity).sort();

/** Waits until the agent is launched, has claimed, and is in the room. */
async function becomeReady(world: World): Promise<string> {
  await world.until(() => world.runner.seen.length > 0, "the launch");
  const claimed = await world.outcome(world.claim(world.runner.seen[0]?.body.dispatch_id));
  expect(claimed.room).toBe("call-1");
  world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
  await world.report(claimed, "ready");
  await world.until(() => world.all()[0]?.state === "ready", "ready");
  return claimed.identity;
}

test("creates a missing room before an agent is requested", async () => {
  const world = await handoffWorld();
  let rooms: string[] | undefined;
  world.runner.script.push(async () => {
    rooms = (await world.livekit.rooms.list()).map(({ name }) => name);
    return new Response(null, { status: 202 });
  });
  await world.control("control-1");
  await world.handOff(aHandoff());
  await world.until(() => world.runner.seen.length > 0, "the launch");
  expect(rooms).toEqual(["call-1"]);
});

test("keeps a room with its caller, and sends the agent there", async () => {
  const world = await handoffWorld();
  for (const participant of [caller, friend]) world.livekit.rooms.join("call-1", participant);
  let before: string[] | undefined;
  world.runner.script.push(async () => {
    before = await inside(world);
    return new Response(null, { status: 202 });
  });
  await world.control("control-1");
  await world.handOff(aHandoff());
  const agent = await becomeReady(world);
  expect(before).toEqual([caller.identity, friend.identity]);
  expect(await inside(world)).toEqual([agent, caller.identity, friend.identity].sort());
  expect(await world.livekit.rooms.list()).toMatchObject([{ name: "call-1", participants: 3 }]);
  expect(world.all()).toMatchObject([{ room: "call-1", roomIsNamed: true, attempt: 1, failures: 0 }]);
  expect(world.handoffEvents().map(({ type }) => type)).not.toContain("handoff_failed");
  // Nobody is removed while they talk, and a participant who stays keeps the session.
  await world.clock.advance(60_000);
  world.livekit.rooms.leave("call-1", friend.identity);
  await world.clock.advance(10_000);
  expect(await inside(world)).toEqual([agent, caller.identity].sort());
  expect(world.all()).toMatchObject([{ state: "ready", attempt: 1 }]);
  world.livekit.rooms.leave("call-1", caller.identity);
  await world.until(() => world.all()[0]?.state === "ended", "the end");
  expect(world.all()[0]?.endedReason).toBe("completed");
  await world.clock.advance(1000);
  // The room was there before the session, so it belongs to its creator.
  expect(await world.livekit.rooms.list()).toMatchObject([{ name: "call-1", participants: 0 }]);
});

test("keeps the caller in the room when the agent is lost, and gets the next agent", async () => {
  const world = await handoffWorld();
  world.livekit.rooms.join("call-1", caller);
  await world.control("control-1");
  await world.handOff(aHandoff());
  const first = await becomeReady(world);
  world.livekit.rooms.leave("call-1", first);
  await world.outcome(
    world.client.streams.publish(sessionEvents, {
      ...{
        type: "agent_lost",
        tenant: "acme",
        sessionId: world.all()[0]?.sessionId ?? "",
        attempt: 1,
        at: AT,
      },
      reason: "its process died",
    }),
  );
  await world.until(() => world.runner.seen.length === 2, "the next launch");
  expect(world.runner.seen[1]?.body).toMatchObject({ room: "call-1", attempt: 2, recovering: true });
  expect(await inside(world)).toEqual([caller.identity]);
});

test("sends an agent of the pool to a caller who is already in the room", async () => {
  const world = await handoffWorld({ launcher: false });
  world.livekit.rooms.join("call-1", caller);
  const assigns: Assign[] = [];
  await world.outcome(
    world.client.core.serve(assignCommand, "host-1", async (assign) => {
      assigns.push(assign);
      return { verdict: "accepted" };
    }),
  );
  const support = { status: "running" as const, warm: 1, hot: 1, warming: 0, busy: 0, max: 9 };
  await world.outcome(world.client.kv.update(hosts, aHost("host-1", 1, { profiles: { support } }), 0));
  await world.control("control-1");
  await world.handOff(aHandoff());
  await world.until(() => assigns.length > 0, "the assign");
  // A hot agent is in a standby room, where the caller isn't.
  expect(assigns).toMatchObject([{ profile: "support", room: "call-1", requestedWarmth: "warm" }]);
  expect(await inside(world)).toEqual([caller.identity]);
});
