// An agent for tests that uses no AgentSession: it says itself when it is ready.
import { defineAgent, type JobContext } from "@livekit/agents";
import { ready } from "greenroom/agent";
import { tellOfJob } from "./_open-session.ts";

export const pool = { min: 1, hot: 0, max: 10, perProcess: 10 };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    tellOfJob(ctx);
    await ctx.connect();
    ready();
  },
});
