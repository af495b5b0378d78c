// What the agents made for tests share: an AgentSession without any model, ready as soon as it has started.
import { getJobContext, type JobContext, log, voice } from "@livekit/agents";
import { sessionInfo } from "greenroom/agent";

/** Says what the job found, in lines that the session's logs show. Call it first in `entry`. */
export function tellOfJob(ctx: JobContext): void {
  console.log(
    "job",
    JSON.stringify({
      metadata: JSON.parse(ctx.job.metadata || "{}"),
      wasConnected: ctx.room.isConnected,
      contextIsMine: getJobContext() === ctx,
      attempt: sessionInfo()?.attempt,
      resumed: sessionInfo()?.resumed,
      prewarmed: ctx.proc.userData.prewarmed ?? false,
    }),
  );
  ctx.addShutdownCallback(async () => console.log("the shutdown callback ran"));
}

export async function openSession(ctx: JobContext): Promise<voice.AgentSession> {
  await ctx.connect();
  const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
  await session.start({
    agent: new voice.Agent({ instructions: "You are there, and no more." }),
    room: ctx.room,
    inputOptions: { audioEnabled: false },
  });
  log().warn({ room: ctx.room.name }, "the session is open");
  return session;
}
