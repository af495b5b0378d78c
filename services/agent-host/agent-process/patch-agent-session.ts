// Patches AgentSession: reports when a session has started, and restores conversations.
import { voice } from "@livekit/agents";
import type { RunningJob } from "./job.ts";

const jobs = new WeakMap<object, RunningJob>();

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
    if (job !== undefined) jobs.set(this, job);
    const isFirst = job?.onSessionStarting(this, args[0]) === true;
    job?.readiness.sessionStarting();
    const result = await start.apply(this, args).catch((error: unknown) => {
      job?.readiness.sessionFailed(error);
      throw error;
    });
    job?.readiness.sessionStarted();
    if (isFirst) job?.opening.started(this, originals);
    return result;
  };
  followClose(prototype);
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

interface Emitter {
  emit(event: string | symbol, ...values: unknown[]): boolean;
  rawListeners(event: string | symbol): ((...values: unknown[]) => unknown)[];
  readonly _enableRecording: boolean;
  readonly _recordedEvents: unknown[];
}

/** Passes on to the job what the listeners of `close` return, so that the job lasts until they are done. */
function followClose(prototype: voice.AgentSession): void {
  const emitter = prototype as unknown as Emitter;
  const { emit } = emitter;
  emitter.emit = function emitFollowed(this: Emitter, event, ...values) {
    const job = jobs.get(this);
    if (event !== voice.AgentSessionEventTypes.Close || job === undefined)
      return emit.call(this, event, ...values);
    const [closed] = values as [voice.CloseEvent];
    // As in LiveKit's own emit.
    if (this._enableRecording) this._recordedEvents.push(closed);
    // First, because a listener may delete the room, which another agent may need.
    job.onSessionClosed(this, closed.reason, closed.error);
    const listeners = this.rawListeners(event);
    for (const listener of listeners) job.afterClose(Reflect.apply(listener, this, values));
    return listeners.length > 0;
  };
}
