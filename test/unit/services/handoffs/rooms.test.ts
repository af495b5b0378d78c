// A handoff's room, from when the handoff comes until the session's end: made when it is missing, kept as it is when not.
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

/** Launched, claimed, and in the room. */
async function becomeReady(world: World): Promise<string> {
  await world.until(() => world.runner.seen.length > 0, "the launch");
  const claimed = await world.outcome(world.claim(world.runner.seen[0]?.body.dispatch_id));
  expect(claimed.room).toBe("call-1");
  world.livekit.rooms.join("call-1", { identity: claimed.identity, isAgent: true });
  await world.report(claimed, "ready");
  await world.until(() => world.all()[0]?.state === "ready", "ready");
  return claimed.identity;
}

test("a room that isn't there is made before an agent is asked for", async () => {
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

test("a room in which the caller already is stays as it is, and the agent comes to the caller", async () => {
  const world = await handoffWorld();
  for (const participant of [caller, friend]) world.livekit.rooms.join("call-1", participant);
  let alone: string[] | undefined;
  world.runner.script.push(async () => {
    alone = await inside(world);
    return new Response(null, { status: 202 });
  });
  await world.control("control-1");
  await world.handOff(aHandoff());
  const agent = await becomeReady(world);
  expect(alone).toEqual([caller.identity, friend.identity]);
  expect(await inside(world)).toEqual([agent, caller.identity, friend.identity].sort());
  expect(await world.livekit.rooms.list()).toMatchObject([{ name: "call-1", participants: 3 }]);
  expect(world.all()).toMatchObject([{ room: "call-1", roomIsNamed: true, attempt: 1, failures: 0 }]);
  expect(world.told().map(({ type }) => type)).not.toContain("handoff_failed");
  // Nobody is put out while they talk, and one who stays keeps the session.
  await world.clock.advance(60_000);
  world.livekit.rooms.leave("call-1", friend.identity);
  await world.clock.advance(10_000);
  expect(await inside(world)).toEqual([agent, caller.identity].sort());
  expect(world.all()).toMatchObject([{ state: "ready", attempt: 1 }]);
  world.livekit.rooms.leave("call-1", caller.identity);
  await world.until(() => world.all()[0]?.state === "ended", "the end");
  expect(world.all()[0]?.endedReason).toBe("completed");
  await world.clock.advance(1000);
  expect(await world.livekit.rooms.list()).toEqual([]);
});

test("a caller who already is in the room is left there when the agent is lost, and gets the next", async () => {
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

test("an agent of the pool comes to a caller who already is in the room too", async () => {
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
  // A hot agent waits in a room of its own, and the caller isn't there.
  expect(assigns).toMatchObject([{ profile: "support", room: "call-1", requestedWarmth: "warm" }]);
  expect(await inside(world)).toEqual([caller.identity]);
});
