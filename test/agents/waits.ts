// A test agent that waits for its user before it starts its AgentSession, as most public LiveKit agents do.
import { cli, defineAgent, initializeLogger, type JobContext, ServerOptions } from "@livekit/agents";
import { startSession } from "./_test-session.ts";

export const pool = { min: 2, hot: 1, max: 20, perProcess: 10, isolation: "shared" };

initializeLogger({ pretty: false, level: "info" });

export default defineAgent({
  entry: async (ctx: JobContext) => {
    await ctx.connect();
    const user = await ctx.waitForParticipant();
    console.log(`the user is ${user.identity}`);
    console.log(`${ctx.job.agentName} has ${JSON.stringify(ctx.job.metadata)}`);
    const session = await startSession(ctx);
    if ((ctx.job.metadata || "").includes("closes")) setTimeout(() => void session.close(), 500);
  },
});

cli.runApp(new ServerOptions({ agent: import.meta.filename, agentName: "front-desk" }));
