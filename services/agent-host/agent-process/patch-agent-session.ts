// Patches AgentSession: reports when a session has started, and restores conversations.
import { voice } from "@livekit/agents";
import type { RunningJob } from "./job.ts";

/**
 * An agent is ready when its AgentSession has started. A conversation is restored before the session can speak. Agent
 * files need no change for either.
 */
export function patchAgentSession(currentJob: () => RunningJob | undefined): void {
  const { prototype } = voice.AgentSession;
  const { start, say, generateReply } = prototype;
  const originals = { say, generateReply };
  const isPrimaryOf = (job: RunningJob | undefined, session: voice.AgentSession): job is RunningJob =>
    job?.isPrimary(session) === true;

  prototype.start = async function startFollowed(...args: Parameters<typeof start>) {
    const job = currentJob();
    this.once(voice.AgentSessionEventTypes.Close, (event) =>
      job?.onSessionClosed(this, event.reason, event.error),
    );
    const isFirst = job?.onSessionStarting(this, args[0].agent) === true;
    const result = await start.apply(this, args);
    job?.ready();
    if (isFirst) job?.opening.started(this, originals);
    return result;
  };
  prototype.say = function sayFollowed(...args: Parameters<typeof say>) {
    const job = currentJob();
    if (isPrimaryOf(job, this) && job.opening.replacesSpeech()) return job.opening.bridge(this, originals);
    return say.apply(this, args);
  };
  prototype.generateReply = function generateReplyFollowed(...args: Parameters<typeof generateReply>) {
    const job = currentJob();
    const asksForUser = args[0]?.userInput !== undefined;
    if (!asksForUser && isPrimaryOf(job, this) && job.opening.replacesSpeech())
      return job.opening.bridge(this, originals);
    return generateReply.apply(this, args);
  };
}
