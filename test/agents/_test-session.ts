// Shared by the test agents: an AgentSession without models, which is ready as soon as it starts.
import { getJobContext, type JobContext, log, voice } from "@livekit/agents";
import { sessionInfo } from "greenroom/agent";

/** Logs the job's context, so that a test can read it in the session's log. Call it first in `entry`. */
export function logJob(ctx: JobContext): void {
  console.log(
    "job",
    JSON.stringify({
      metadata: JSON.parse(ctx.job.metadata || "{}"),
      wasConnected: ctx.room.isConnected,
      contextIsMine: getJobContext() === ctx,
      attempt: sessionInfo()?.attempt,
      resumed: sessionInfo()?.resumed,
      prewarmed: ctx.proc.userData.prewarmed ?? false,
      pid: process.pid,
    }),
  );
  ctx.addShutdownCallback(async () => console.log("the shutdown callback ran"));
}

export async function startSession(ctx: JobContext): Promise<voice.AgentSession> {
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
