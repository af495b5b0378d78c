// A test agent without an AgentSession, which calls ready() itself.
import { defineAgent, type JobContext } from "@livekit/agents";
import { ready } from "greenroom/agent";
import { logJob } from "./_test-session.ts";

export const pool = { min: 1, hot: 0, max: 10, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await ctx.connect();
    ready();
  },
});
