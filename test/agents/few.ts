// A test agent with at most two slots, so that further sessions wait.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 1, hot: 0, max: 2, perProcess: 10, isolation: "shared" };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await startSession(ctx);
  },
});
