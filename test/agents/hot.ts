// A test agent that waits in a standby room.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { logJob, startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 2, max: 20, perProcess: 10, isolation: "shared" };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await startSession(ctx);
  },
});
