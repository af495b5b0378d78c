// A test agent without an AgentSession, which answers RPCs after its entry has returned.
import { defineAgent, type JobContext } from "@livekit/agents";
import { logJob } from "./_test-session.ts";

export const pool = { min: 1, hot: 0, max: 10, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await ctx.connect();
    ctx.room.localParticipant?.registerRpcMethod("double", async ({ payload }) =>
      String(Number(payload) * 2),
    );
    if ((ctx.job.metadata || "").includes("runsOn")) await new Promise(() => {});
  },
});
