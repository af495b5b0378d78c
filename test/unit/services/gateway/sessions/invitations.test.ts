// Invitations: kept for as long as their tokens may be used, and longer once their users have joined.
import { afterEach, beforeEach, expect, test } from "vitest";
import { invitations } from "../../../../../libs/contracts/buckets.ts";
import type { SimulatedRooms } from "../../../../../libs/livekit/simulated-rooms.ts";
import { joinableRooms, type Rig, receiveWebhook, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig({ livekit: joinableRooms() });
});
afterEach(() => rig.stop());

const stored = async () => (await rig.bus.kv.entries(invitations)).map(({ value }) => value);

test("keeps an invitation for the life of its token, until its user joins", async () => {
  const [room, identity] = ["team", "bob"];
  for (const participant_identity of [identity, "ann"])
    await rig.post("/api/livekit/token", { room_name: room, participant_identity });
  expect((await stored()).map((invitation) => invitations.valueTtlMs?.(invitation))).toEqual([
    720_000, 720_000,
  ]);
  (rig.livekit?.rooms as SimulatedRooms | undefined)?.join(room, { identity, isAgent: false });
  const joined = { event: "participant_joined", room, identity, kind: "STANDARD", name: "" };
  expect(await receiveWebhook(rig, joined)).toBe(200);
  const times = (await stored()).map((invitation) => [
    invitation.user.id,
    invitations.valueTtlMs?.(invitation),
  ]);
  expect(Object.fromEntries(times)).toEqual({ ann: 720_000, bob: undefined });
});
