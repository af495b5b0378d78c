// An agent for tests: it waits in a standby room.
import { defineAgent, type JobContext, type JobProcess } from "@livekit/agents";
import { openSession, tellOfJob } from "./_open-session.ts";

export const pool = { min: 2, hot: 2, max: 20, perProcess: 10 };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.prewarmed = true;
  },
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await openSession(ctx);
  },
});
