// Incoming calls: a telephone joins a room that LiveKit SIP creates, and an agent of the pool talks to the caller.
import { AccessToken } from "livekit-server-sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { sessions } from "../../../libs/contracts/buckets.ts";
import type { SessionRecord, SessionState } from "../../../libs/contracts/sessions/session.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { type Listener, listenIn } from "../../kit/stack/listener.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({ agents: ["tone"], env: { GREENROOM_INBOUND_ROOMS: "call-=tone" } });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

/** Joins like a participant of LiveKit SIP, with a token of that kind and the numbers in its attributes. */
async function callIn(room: string): Promise<Listener> {
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("There is no LiveKit");
  const token = new AccessToken(livekit.apiKey, livekit.apiSecret, {
    identity: "sip_+15550123",
    attributes: {
      "sip.phoneNumber": "+15550123",
      "sip.trunkPhoneNumber": "+15550100",
      "sip.callStatus": "active",
    },
    ttl: 60,
  });
  token.kind = "sip";
  token.addGrant({ room, roomJoin: true, canPublish: true, canSubscribe: true });
  return listenIn({ url: livekit.url, token: await token.toJwt() });
}

/** Waits until the session of a room has this state. */
const sessionWhen = (room: string, state: SessionState): Promise<SessionRecord> =>
  until(
    async () => {
      const found = (await scene.bus.kv.entries(sessions)).find(({ value }) => value.room === room);
      return found?.value.state === state ? found.value : undefined;
    },
    { timeoutMs: PATIENCE_MS, what: `the session in ${room} is ${state}` },
  );

describe("an incoming call", () => {
  test("gets a warm agent, and ends the session when the caller hangs up", async () => {
    const room = "call-_+15550123_a1";
    const telephone = await callIn(room);
    await until(() => telephone.sounds.length > 50, { timeoutMs: PATIENCE_MS, what: "the agent is heard" });
    // The agent plays its tone before it is ready.
    const record = await sessionWhen(room, "ready");
    expect(record).toMatchObject({ profile: "tone", user: { id: "sip_+15550123" } });
    expect(record.metadata).toEqual({ inbound: true, call: { from: "+15550123", to: "+15550100" } });
    await telephone.leave();
    const ended = await sessionWhen(room, "ended");
    expect(ended.endedReason).toBe("completed");
  });
});
