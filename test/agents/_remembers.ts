// Shared by the isolation agents: keeps its caller in a variable of the module, and exits at the end of a call. Many files
// do both, because LiveKit's own worker gives each job a process.
import { defineAgent, type JobContext } from "@livekit/agents";
import { logJob } from "./_test-session.ts";

let account = "nobody";

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    account = (JSON.parse(ctx.job.metadata) as { account: string }).account;
    ctx.addShutdownCallback(async () => process.exit(0));
    await ctx.connect();
    ctx.room.localParticipant?.registerRpcMethod("account", async () =>
      JSON.stringify({ account, pid: process.pid }),
    );
  },
});
