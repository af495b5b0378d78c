// A test agent that reports the size and the hash of its metadata, and what its room and its user have.
import { createHash } from "node:crypto";
import { defineAgent, type JobContext } from "@livekit/agents";
import { startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 1, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const { metadata } = ctx.job;
    const hash = createHash("sha256").update(metadata).digest("hex");
    console.log(`metadata ${Buffer.byteLength(metadata)} ${hash}`);
    await startSession(ctx);
    const { identity, attributes, metadata: own } = await ctx.waitForParticipant();
    console.log(
      `user ${JSON.stringify({ identity, attributes, bytes: own.length, room: ctx.room.metadata })}`,
    );
  },
});
