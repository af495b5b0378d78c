// A test agent with a process of its own for each slot.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 0, max: 20, isolation: "process" };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await startSession(ctx);
  },
});
