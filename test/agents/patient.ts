// A test agent that starts its AgentSession only when the callee has joined, like LiveKit's telephony examples.
import { defineAgent, type JobContext } from "@livekit/agents";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await ctx.connect();
    const callee = await ctx.waitForParticipant();
    console.log(`${callee.identity} is there, and the line is ${callee.attributes["sip.callStatus"]}`);
    await startSession(ctx);
  },
});
