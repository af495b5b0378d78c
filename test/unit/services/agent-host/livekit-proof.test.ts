// A host that offers nothing until it has joined a room of LiveKit.
import { describe, expect, test } from "vitest";
import { isReservedRoom, STANDBY_PREFIX } from "../../../../libs/contracts/ids.ts";
import type { LiveKit } from "../../../../libs/livekit/rooms.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { LiveKitProof } from "../../../../services/agent-host/livekit-proof.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

const profile = { status: "running", warm: 2, hot: 1, warming: 0, busy: 0, max: 5 } as const;

/** A LiveKit whose answers a test gives: an error, or undefined for success. */
function scene(isSimulated = false) {
  const clock = createSimClock();
  let failure: Error | undefined = new Error("invalid API key");
  let joinFailure: Error | undefined;
  const open = new Set<string>();
  const joined: string[] = [];
  const rooms = {
    create: async (room: string) => {
      if (failure !== undefined) throw failure;
      open.add(room);
    },
    delete: async (room: string) => void open.delete(room),
  };
  const tokens = { forAgent: async ({ room }: { room: string }) => `token for ${room}` };
  const livekit = { url: "ws://livekit", isSimulated, rooms, tokens } as unknown as LiveKit;
  const join = async (_url: string, token: string) => {
    if (joinFailure !== undefined) throw joinFailure;
    const room = token.replace("token for ", "");
    expect(open).toContain(room);
    joined.push(room);
  };
  const proof = new LiveKitProof({ clock, log: silentLog, livekit, join });
  let changes = 0;
  const stop = proof.start(() => {
    changes += 1;
  });
  const answer = async (error: Error | undefined, joinError?: Error) => {
    failure = error;
    joinFailure = joinError;
    await clock.advance(2000);
  };
  return { proof, clock, stop, answer, open, joined, changes: () => changes };
}

describe("LiveKitProof", () => {
  test("offers no agents and refuses sessions until LiveKit answers", async () => {
    const { proof, clock, answer, changes } = scene();
    expect(proof.offered(profile)).toMatchObject({ status: "stopped", warm: 0, hot: 0 });
    await clock.advance(1);
    const reason = "this host can't use LiveKit at ws://livekit: invalid API key";
    expect(proof.refusal).toBe(reason);
    expect(proof.offered(profile)).toMatchObject({ status: "failed", error: reason, warm: 0, hot: 0 });
    await answer(new Error("invalid API key"));
    expect(changes()).toBe(1);
    await answer(undefined);
    expect(changes()).toBe(2);
    expect(proof.refusal).toBeUndefined();
    expect(proof.offered(profile)).toEqual(profile);
  });

  test("offers no agents while the API answers and nobody can join a room", async () => {
    const { proof, clock, answer, open } = scene();
    await clock.advance(1);
    await answer(undefined, new Error("the WebSocket ws://livekit/rtc answered with HTTP status 403"));
    expect(proof.offered(profile)).toMatchObject({
      status: "failed",
      error:
        "this host can't use LiveKit at ws://livekit: its API accepts the key, but the WebSocket ws://livekit/rtc answered with HTTP status 403. Make proxies and firewalls let WebSockets through to LiveKit",
    });
    expect(await proof.errorNow()).toContain("HTTP status 403");
    await answer(undefined);
    expect(proof.offered(profile)).toEqual(profile);
    expect([...open]).toEqual([]);
  });

  test("joins a room that nobody else can name, once, and deletes it", async () => {
    const { proof, clock, answer, open, joined } = scene();
    await clock.advance(1);
    await answer(undefined);
    await clock.advance(60_000);
    expect(joined).toHaveLength(1);
    await proof.errorNow();
    expect(new Set(joined).size).toBe(2);
    for (const room of joined)
      expect([isReservedRoom(room), room.startsWith(STANDBY_PREFIX)]).toEqual([true, true]);
    expect([...open]).toEqual([]);
  });

  test("never offers agents without LiveKit, and names the settings", () => {
    const join = async () => {};
    const proof = new LiveKitProof({ clock: createSimClock(), log: silentLog, livekit: undefined, join });
    proof.start(() => {});
    expect(proof.refusal).toContain("set LIVEKIT_URL");
    expect(proof.offered(profile)).toMatchObject({ status: "failed", warm: 0 });
  });

  test("needs no proof for simulated rooms", () => {
    expect(scene(true).proof.offered(profile)).toEqual(profile);
  });

  test("asks no more after a stop", async () => {
    const { proof, stop, answer } = scene();
    stop();
    await answer(undefined);
    expect(proof.refusal).toBeDefined();
  });
});
