// People who leave a room before the agent of their session has seen anybody.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import type { SessionEvent } from "../../../../../libs/contracts/sessions/session.ts";
import type { ParticipantInfo } from "../../../../../libs/livekit/rooms.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { Gateway } from "../../../../../services/gateway/context.ts";
import { handleDeparture } from "../../../../../services/gateway/sessions/departures.ts";
import type { PublicSession } from "../../../../../services/gateway/sessions/public-session.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";
import { createSimClock } from "../../../../kit/sim-clock.ts";

const ROOM = "session-a";
const AGENT: ParticipantInfo = { identity: "agent-a-1", isAgent: true };
const USER: ParticipantInfo = { identity: "ada", isAgent: false };

interface World {
  session: PublicSession | undefined;
  userJoined: boolean | undefined;
  present: ParticipantInfo[];
}

/** Reports a departure. @param later the changes during the time in which the user may come back */
async function leaves(
  before: Partial<World> = {},
  later: Partial<World> = {},
  { leaver = "ada", gatewayStops = false } = {},
) {
  const ready = aSession("a", {
    state: "ready",
    host: "h",
    hostEpoch: 7,
    room: ROOM,
    user: { id: "ada", name: "Ada" },
  });
  const world: World = { session: ready, userJoined: undefined, present: [AGENT], ...before };
  const published: SessionEvent[] = [];
  const gateway = {
    tenant: "t",
    clock: createSimClock(),
    log: silentLog,
    bus: {
      streams: { publish: async (_: unknown, event: SessionEvent) => published.push(event) },
    } as unknown as Bus,
    sessions: { inRoom: () => (world.session === undefined ? [] : [{ record: world.session }]) },
    hosts: {
      get: () => ({
        processes: [{ slots: [{ sessionId: "a", attempt: 1, userJoined: world.userJoined }] }],
      }),
    },
    livekit: { rooms: { participants: async () => world.present } },
    subscriptions: {
      until: async () => void Object.assign(world, later),
      isStopped: gatewayStops,
    },
  } as unknown as Gateway;
  await handleDeparture(gateway, ROOM, leaver);
  return published;
}

describe("a user who leaves before the agent has seen anybody", () => {
  test("ends the session, with the reason of a user that the agent has seen", async () => {
    expect(await leaves()).toMatchObject([
      { type: "end_requested", sessionId: "a", endedReason: "completed", reason: "user left" },
    ]);
  });

  test.each([
    ["the room has no session", { session: undefined }],
    ["the agent has seen a user, so its host reports the end", { userJoined: true }],
    [
      "the agent is of another provider",
      { session: aSession("a", { state: "ready", provider: "livekit", user: { id: "ada", name: "Ada" } }) },
    ],
    [
      "an earlier attempt may have seen the user",
      { session: aSession("a", { state: "ready", attempt: 2, host: "h", user: { id: "ada", name: "Ada" } }) },
    ],
    ["somebody else is there", { present: [AGENT, USER] }],
  ] as [string, Partial<World>][])("ends nothing if %s", async (_why, before) => {
    expect(await leaves(before)).toEqual([]);
  });

  test("ends nothing if somebody else has left", async () => {
    expect(await leaves({}, {}, { leaver: "ben" })).toEqual([]);
  });

  test("ends nothing if the gateway stops before the user may be back", async () => {
    expect(await leaves({}, {}, { gatewayStops: true })).toEqual([]);
  });

  test.each([
    ["is back", { present: [AGENT, USER] }],
    ["was seen after all", { userJoined: true }],
    ["has ended the session", { session: aSession("a", { state: "ended" }) }],
    ["has another session by now", { session: aSession("b", { state: "ready" }) }],
  ] as [string, Partial<World>][])("ends nothing if the user %s after a while", async (_why, later) => {
    expect(await leaves({}, later)).toEqual([]);
  });
});
