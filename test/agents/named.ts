// A test agent that asks for a participant of its own, and and whose AgentSession connects before the file does.
import { cli, defineAgent, type JobContext, type JobRequest, ServerOptions, voice } from "@livekit/agents";

export const pool = { min: 1, hot: 1, max: 10, perProcess: 10, isolation: "shared" };

export default defineAgent({
  entry: async (ctx: JobContext) => {
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    await session.start({ agent: new voice.Agent({ instructions: "You are there." }), room: ctx.room });
    await ctx.connect();
  },
});

const requestFunc = async (request: JobRequest): Promise<void> => {
  // biome-ignore lint/suspicious/noExplicitAny: a file without types may pass what no token can hold.
  const attributes: any = { desk: request.job.metadata.includes("invalid") ? 7n : "7" };
  await request.accept("Ann", "", "", attributes);
};

cli.runApp(new ServerOptions({ agent: import.meta.filename, agentName: "named", requestFunc }));
