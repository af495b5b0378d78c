// An agent for tests: two at most, so that others wait.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 1, hot: 0, max: 2, perProcess: 10 };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await openSession(ctx);
  },
});
