// A test agent that encrypts its media, so that a standby room is of no use to it.
import { defineAgent, type JobContext } from "@livekit/agents";
import { EncryptionType } from "@livekit/rtc-node";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 1, max: 10, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    const sharedKey = new TextEncoder().encode("a key of a test");
    await ctx.connect({
      encryptionType: EncryptionType.GCM,
      keyProviderOptions: {
        sharedKey,
        ratchetSalt: new Uint8Array(),
        ratchetWindowSize: 16,
        failureTolerance: -1,
      },
    });
    console.log(`encryption is ${ctx.room.e2eeManager?.enabled === true ? "on" : "off"}`);
    await startSession(ctx);
  },
});
