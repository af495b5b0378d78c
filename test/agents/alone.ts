// An agent for tests: each has a process of its own.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 1 };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await openSession(ctx);
  },
});
