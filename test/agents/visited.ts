// An agent for tests: it waits for its user, and says who came.
import { defineAgent, type JobContext } from "@livekit/agents";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10 };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await openSession(ctx);
    const user = await ctx.waitForParticipant();
    console.log(`${user.identity} (${user.name}) came`);
  },
  onSessionEnd: async (ctx: JobContext) => {
    const report = ctx.makeSessionReport();
    console.log(`the report of ${report.jobId} in ${report.room}`);
  },
});
