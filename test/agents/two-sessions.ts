// A test agent with two AgentSessions in one job, one after the other or at once.
import { defineAgent, type JobContext, voice } from "@livekit/agents";

export const pool = { min: 2, hot: 0, max: 20, perProcess: 10, isolation: "shared" };

interface Wanted {
  readonly parallel?: boolean;
  readonly record?: boolean;
}

const start = async (ctx: JobContext, record?: boolean): Promise<voice.AgentSession> => {
  const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
  await session.start({
    agent: new voice.Agent({ instructions: "You are there, and no more." }),
    room: ctx.room,
    inputOptions: { audioEnabled: false },
    ...(record === undefined ? {} : { record }),
  });
  return session;
};

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const { parallel = false, record } = JSON.parse(ctx.job.metadata || "{}") as Wanted;
    await ctx.connect();
    const first = await start(ctx, record);
    if (!parallel) await first.close();
    try {
      await start(ctx, record);
      console.log("both sessions have started");
    } catch (error) {
      console.log(`the second session failed: ${error}`);
      throw error;
    }
  },
});
