// A test agent without idle slots, so that each session starts one.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 0, hot: 0, max: 4, perProcess: 10, isolation: "shared" };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await startSession(ctx);
  },
});
