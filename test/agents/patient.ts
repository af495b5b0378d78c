// An agent for tests that starts its session only when its callee is there, as LiveKit's examples for calls do.
import { defineAgent, type JobContext } from "@livekit/agents";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10 };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await ctx.connect();
    const callee = await ctx.waitForParticipant();
    console.log(`${callee.identity} is there, and the line is ${callee.attributes["sip.callStatus"]}`);
    await openSession(ctx);
  },
});
