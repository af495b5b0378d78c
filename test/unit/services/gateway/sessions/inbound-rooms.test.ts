// Rooms that others make: whoever comes into one that GREENROOM_INBOUND_ROOMS names finds an agent on its way.
import { createHash } from "node:crypto";
import { AccessToken } from "livekit-server-sdk";
import { afterEach, describe, expect, test } from "vitest";
import { inboundProfileOf, parseInboundRooms } from "../../../../../libs/contracts/sessions/inbound-rooms.ts";
import type { SessionEvent } from "../../../../../libs/contracts/sessions/session.ts";
import { connectLiveKit } from "../../../../../libs/livekit/connect.ts";
import type { LiveKit, ParticipantInfo, RoomInfo } from "../../../../../libs/livekit/rooms.ts";
import { until } from "../../../../kit/until.ts";
import { type Rig, type RigOptions, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());
const start = async (options: RigOptions = {}) => {
  rig = await startRig({
    ...options,
    env: { GREENROOM_INBOUND_ROOMS: "call-=echo, call-vip-=talk", ...options.env },
  });
};

interface Coming {
  readonly room?: string;
  readonly madeAtS?: number;
  readonly identity?: string;
  readonly kind?: string;
  readonly event?: string;
  readonly attributes?: Record<string, string>;
}

const caller = { "sip.phoneNumber": "+15550123", "sip.trunkPhoneNumber": "+15550100" };

/** LiveKit says that somebody came into a room. @returns the status of the gateway's answer */
async function comes({
  room = "call-1",
  madeAtS = 1000,
  identity = "sip_+15550123",
  kind = "SIP",
  event = "participant_joined",
  attributes = caller,
}: Coming = {}): Promise<number> {
  const payload = JSON.stringify({
    event,
    id: "EV_1",
    room: { name: room, sid: "RM_1", creationTime: String(madeAtS) },
    participant: { identity, kind, attributes, name: "Ann" },
  });
  const { apiKey = "", apiSecret = "" } = rig.livekit ?? {};
  const token = new AccessToken(apiKey, apiSecret);
  token.sha256 = createHash("sha256").update(payload).digest("base64");
  const headers = { "content-type": "application/webhook+json", authorization: await token.toJwt() };
  const reply = await rig.app.inject({ method: "POST", url: "/api/livekit/webhook", headers, payload });
  return reply.statusCode;
}

const requests = (): Extract<SessionEvent, { type: "requested" }>[] =>
  rig.said().filter((said) => said.type === "requested");

describe("a telephone that comes into a room", () => {
  test("gets an agent there, which knows who calls and which number", async () => {
    await start();
    expect(await comes()).toBe(200);
    expect(requests()).toMatchObject([
      {
        room: "call-1",
        profile: "echo",
        user: { id: "sip_+15550123", name: "Ann" },
        metadata: { inbound: true, call: { from: "+15550123", to: "+15550100" } },
      },
    ]);
  });

  test("gets one, however often LiveKit says so and on whichever gateway, and whoever comes after it", async () => {
    await start();
    await rig.another();
    await Promise.all([comes(), comes(), comes({ identity: "another" })]);
    expect(await comes()).toBe(200);
    expect(await comes({ identity: "a third" })).toBe(200);
    expect(requests()).toHaveLength(1);
  });

  test("gets another one in a later room of the same name", async () => {
    await start();
    await comes();
    const [first] = requests();
    await rig.post(`/api/session/${first?.sessionId}/end`);
    await rig.move(first?.sessionId ?? "", {
      type: "end_requested",
      tenant: "default",
      sessionId: first?.sessionId ?? "",
      at: "2026-01-01T00:00:00.000Z",
      endedReason: "completed",
      reason: "they said goodbye",
    });
    await until(async () => (await rig.get(`/api/session/${first?.sessionId}`)).body.state === "ended", {
      what: "it has ended",
    });
    await comes();
    expect(requests()).toHaveLength(1);
    await comes({ madeAtS: 2000 });
    expect(requests()).toHaveLength(2);
  });

  test.each([
    ["an agent", { kind: "AGENT" }],
    ["a recorder", { kind: "EGRESS" }],
    ["somebody into another room", { room: "meeting-1" }],
    ["nobody: somebody leaves", { event: "participant_left" }],
  ] as [string, Coming][])("is no reason when it is %s", async (_who, coming) => {
    await start();
    expect(await comes(coming)).toBe(200);
    expect(requests()).toEqual([]);
  });

  test("is left to the session that has its room already", async () => {
    await start();
    await rig.post("/api/session/start", { profile: "echo", room: "call-1" });
    expect(await comes()).toBe(200);
    expect(requests()).toHaveLength(1);
  });

  test("is said again by LiveKit when no agent can be had now, and not when none ever can", async () => {
    await start({ env: { GREENROOM_INBOUND_ROOMS: "call-=echo, odd-=nobody" }, hosts: [] });
    expect(await comes()).toBe(503);
    await rig.stop();
    await start({ env: { GREENROOM_INBOUND_ROOMS: "call-=echo, odd-=nobody" } });
    expect(await comes({ room: "odd-1" })).toBe(200);
    expect(requests()).toEqual([]);
  });
});

test("a room whose webhook never came is found by looking, once, and an empty one isn't", {
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
      { identity: "recorder", isAgent: true },
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
  await until(() => requests().length > 0, { timeoutMs: 30_000, what: "it is found" });
  await comes({ room: "call-7", identity: "bob" });
  expect(requests()).toMatchObject([{ room: "call-7", profile: "echo", user: { id: "bob" } }]);
});

describe("the setting", () => {
  test("gives a room to the longest prefix that it begins with", async () => {
    await start();
    const rules = parseInboundRooms(" call-=echo ,call-vip- = talk,");
    expect(inboundProfileOf(rules, "call-vip-1")).toBe("talk");
    expect(inboundProfileOf(rules, "call-1")).toBe("echo");
    expect(inboundProfileOf(rules, "a-call-1")).toBeUndefined();
  });

  test.each([
    ["call-", "prefix=profile"],
    ["=echo", "prefix=profile"],
    ["session-=echo", "Greenroom's own rooms"],
    ["call-=not a profile", "prefix=profile"],
    ["call-=a/b", "profile"],
    ["call-=echo,call-=talk", "twice"],
  ])("%s is refused in words", async (text, description) => {
    await start();
    expect(() => parseInboundRooms(text)).toThrow(description);
  });
});
