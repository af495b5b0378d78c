// A test agent that waits for its user, and logs who joined.
import { defineAgent, type JobContext } from "@livekit/agents";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await startSession(ctx);
    const user = await ctx.waitForParticipant();
    console.log(`${user.identity} (${user.name}) came`);
  },
  onSessionEnd: async (ctx: JobContext) => {
    const report = ctx.makeSessionReport();
    console.log(`the report of ${report.jobId} in ${report.room}`);
  },
});
