// An agent for tests: none is kept, so each session starts one.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 0, hot: 0, max: 4, perProcess: 10 };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await openSession(ctx);
  },
});
