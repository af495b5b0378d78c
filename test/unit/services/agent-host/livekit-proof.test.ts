// A host that offers nothing until it has reached LiveKit.
import { describe, expect, test } from "vitest";
import type { LiveKit } from "../../../../libs/livekit/rooms.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { LiveKitProof } from "../../../../services/agent-host/livekit-proof.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

const profile = { status: "running", warm: 2, hot: 1, warming: 0, busy: 0, max: 5 } as const;

/** A LiveKit whose answers a test gives: an error, or undefined for success. */
function scene(isSimulated = false) {
  const clock = createSimClock();
  let failure: Error | undefined = new Error("invalid API key");
  const rooms = {
    participants: async () => {
      if (failure !== undefined) throw failure;
      return [];
    },
  };
  const livekit = { url: "ws://livekit", isSimulated, rooms } as unknown as LiveKit;
  const proof = new LiveKitProof({ clock, log: silentLog, livekit });
  let changes = 0;
  const stop = proof.start(() => {
    changes += 1;
  });
  const answer = async (error: Error | undefined) => {
    failure = error;
    await clock.advance(2000);
  };
  return { proof, clock, stop, answer, changes: () => changes };
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

  test("never offers agents without LiveKit, and names the settings", () => {
    const proof = new LiveKitProof({ clock: createSimClock(), log: silentLog, livekit: undefined });
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
