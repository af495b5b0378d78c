// A test agent for LiveKit's own workers, which doesn't know Greenroom.
import { defineAgent, type JobContext, voice } from "@livekit/agents";

export default defineAgent({
  entry: async (ctx: JobContext) => {
    console.log(`job ${ctx.job.id} in ${ctx.room.name ?? ctx.job.room?.name} with ${ctx.job.metadata}`);
    ctx.addShutdownCallback(async () => console.log(`the job is over: ${ctx.job.id}`));
    const { leavesAfterMs, diesEarly, greenroom } = JSON.parse(ctx.job.metadata || "{}") as {
      leavesAfterMs?: number;
      diesEarly?: boolean;
      greenroom?: { attempt: number };
    };
    if (diesEarly === true && greenroom?.attempt === 1) process.kill(process.pid, "SIGKILL");
    await ctx.connect();
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    await session.start({
      agent: new voice.Agent({ instructions: "You are there, and no more." }),
      room: ctx.room,
      inputOptions: { audioEnabled: false },
    });
    if (leavesAfterMs !== undefined) setTimeout(() => ctx.shutdown("everything was said"), leavesAfterMs);
  },
});
