// Rooms created by others: a participant who joins a room that GREENROOM_INBOUND_ROOMS names gets an agent.
import { afterEach, describe, expect, test } from "vitest";
import { inboundProfileOf, parseInboundRooms } from "../../../../../libs/contracts/sessions/inbound-rooms.ts";
import type { SessionEvent } from "../../../../../libs/contracts/sessions/session.ts";
import { connectLiveKit } from "../../../../../libs/livekit/connect.ts";
import type { LiveKit, ParticipantInfo, RoomInfo } from "../../../../../libs/livekit/rooms.ts";
import { until } from "../../../../kit/until.ts";
import {
  type LiveKitWebhook,
  type Rig,
  type RigOptions,
  receiveWebhook,
  startRig,
} from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());
const start = async (options: RigOptions = {}) => {
  rig = await startRig({
    ...options,
    env: { GREENROOM_INBOUND_ROOMS: "call-=echo, call-vip-=talk", ...options.env },
  });
};

const caller = { "sip.phoneNumber": "+15550123", "sip.trunkPhoneNumber": "+15550100" };

/** A caller joins a room. @returns the status of the gateway's answer to LiveKit */
const joins = (webhook: Partial<LiveKitWebhook> = {}): Promise<number> =>
  receiveWebhook(rig, {
    ...{ event: "participant_joined", room: "call-1", identity: "sip_+15550123", kind: "SIP", name: "Ann" },
    attributes: caller,
    ...webhook,
  });

const requests = (): Extract<SessionEvent, { type: "requested" }>[] =>
  rig.events().filter((event) => event.type === "requested");

describe("a caller who joins an inbound room", () => {
  test("gets an agent that knows the caller and the dialed number", async () => {
    await start();
    expect(await joins()).toBe(200);
    expect(requests()).toMatchObject([
      {
        room: "call-1",
        profile: "echo",
        user: { id: "sip_+15550123", name: "Ann" },
        metadata: { inbound: true, call: { from: "+15550123", to: "+15550100" } },
      },
    ]);
  });

  test("gets one agent despite repeated webhooks, several gateways and further participants", async () => {
    await start();
    await rig.another();
    await Promise.all([joins(), joins(), joins({ identity: "another" })]);
    expect(await joins()).toBe(200);
    expect(await joins({ identity: "a third" })).toBe(200);
    expect(requests()).toHaveLength(1);
  });

  test("gets another agent in a later room of the same name", async () => {
    await start();
    await joins();
    const [first] = requests();
    await rig.post(`/api/session/${first?.sessionId}/end`);
    await rig.move(first?.sessionId ?? "", {
      type: "end_requested",
      tenant: "default",
      sessionId: first?.sessionId ?? "",
      at: "2026-01-01T00:00:00.000Z",
      endedReason: "completed",
      reason: "they hung up",
    });
    await until(async () => (await rig.get(`/api/session/${first?.sessionId}`)).body.state === "ended", {
      what: "it has ended",
    });
    await joins();
    expect(requests()).toHaveLength(1);
    await joins({ madeAtS: 2000 });
    expect(requests()).toHaveLength(2);
  });

  test.each([
    ["an agent", { kind: "AGENT" }],
    ["an egress", { kind: "EGRESS" }],
    ["a caller in another room", { room: "meeting-1" }],
    ["a participant who leaves", { event: "participant_left" }],
  ] as [string, Partial<LiveKitWebhook>][])("gets no session when it is %s", async (_who, coming) => {
    await start();
    expect(await joins(coming)).toBe(200);
    expect(requests()).toEqual([]);
  });

  test("gets no second session in a room that already has one", async () => {
    await start();
    await rig.post("/api/session/start", { profile: "echo", room: "call-1" });
    expect(await joins()).toBe(200);
    expect(requests()).toHaveLength(1);
  });

  test("is reported again by LiveKit when no host is up, but not when the profile is unknown", async () => {
    await start({ env: { GREENROOM_INBOUND_ROOMS: "call-=echo, odd-=nobody" }, hosts: [] });
    expect(await joins()).toBe(503);
    await rig.stop();
    await start({ env: { GREENROOM_INBOUND_ROOMS: "call-=echo, odd-=nobody" } });
    expect(await joins({ room: "odd-1" })).toBe(200);
    expect(requests()).toEqual([]);
  });
});

test("finds a room without a webhook by polling, once, and ignores an empty one", {
  timeout: 60_000,
}, async () => {
  const list: RoomInfo[] = [
    { name: "call-7", createdAtS: 1000, participants: 2 },
    { name: "call-8", createdAtS: 1000, participants: 0 },
    { name: "call-9", createdAtS: 1000, participants: 1 },
    { name: "meeting", createdAtS: 1000, participants: 1 },
  ];
  const inside: Record<string, ParticipantInfo[]> = {
    "call-7": [
      { identity: "egress", isAgent: true },
      { identity: "bob", isAgent: false },
    ],
    "call-9": [{ identity: "an agent alone", isAgent: true }],
  };
  const real = connectLiveKit({
    LIVEKIT_URL: undefined,
    LIVEKIT_PUBLIC_URL: undefined,
    LIVEKIT_API_KEY: undefined,
    LIVEKIT_API_SECRET: undefined,
    LIVEKIT_MOCK_MODE: true,
  }) as LiveKit;
  const rooms = {
    ...real.rooms,
    list: async () => list,
    participants: async (room: string) => inside[room] ?? [],
  };
  await start({ livekit: { ...real, rooms } });
  await until(() => requests().length > 0, { timeoutMs: 30_000, what: "the room is found" });
  await joins({ room: "call-7", identity: "bob" });
  expect(requests()).toMatchObject([{ room: "call-7", profile: "echo", user: { id: "bob" } }]);
});

describe("parseInboundRooms", () => {
  test("gives a room to the longest matching prefix", async () => {
    await start();
    const rules = parseInboundRooms(" call-=echo ,call-vip- = talk,");
    expect(inboundProfileOf(rules, "call-vip-1")).toBe("talk");
    expect(inboundProfileOf(rules, "call-1")).toBe("echo");
    expect(inboundProfileOf(rules, "a-call-1")).toBeUndefined();
  });

  test("gives Greenroom's own rooms to no profile, also if a short prefix matches", async () => {
    await start();
    const rules = parseInboundRooms("s=echo");
    expect(inboundProfileOf(rules, "support-1")).toBe("echo");
    for (const room of ["session-1", "standby-1"]) expect(inboundProfileOf(rules, room)).toBeUndefined();
  });

  test.each([
    ["call-", "prefix=profile"],
    ["=echo", "prefix=profile"],
    ["session-=echo", "Greenroom's own rooms"],
    ["call-=not a profile", "prefix=profile"],
    ["call-=a/b", "profile"],
    ["call-=echo,call-=talk", "twice"],
  ])("rejects %s and names the fault", async (text, message) => {
    await start();
    expect(() => parseInboundRooms(text)).toThrow(message);
  });
});
