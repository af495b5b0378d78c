// Creates the JobContext for an agent file's `entry`: LiveKit's own class, with Greenroom's hooks.
import { JobContext, type JobProcess } from "@livekit/agents";
import { Job, JobType, Room as RoomProto } from "@livekit/protocol";
import type { JobRequest, ProcessStart } from "../pool/messages.ts";
import { type GreenroomJob, greenroomJob } from "./agent-api.ts";
import { type LogOwner, logOwner } from "./log.ts";
import type { JobRoom } from "./room.ts";

export interface ContextDeps {
  readonly slot: string;
  readonly proc: JobProcess;
  readonly room: JobRoom;
  readonly start: ProcessStart;
  readonly job: JobRequest;
  readonly inference: ConstructorParameters<typeof JobContext>[5];
}

/** Private parts of JobContext, and Greenroom's hooks on it. */
export interface ContextInside {
  _primaryAgentSession?: { close(): Promise<void> };
  _onSessionEnd(): Promise<void>;
  shutdownCallbacks: (() => Promise<void>)[];
  [logOwner]?: LogOwner;
  [greenroomJob]?: GreenroomJob;
}

export const insideOf = (context: JobContext): ContextInside => context as unknown as ContextInside;

/** @param onShutdown called with the reason when the agent ends its own job */
export function makeContext(
  { slot, proc, room, start, job, inference }: ContextDeps,
  hooks: Omit<GreenroomJob, "info">,
  onShutdown: (reason: string) => void,
): JobContext {
  const info = {
    acceptArguments: { name: start.profile, identity: job.identity, metadata: "" },
    job: new Job({
      id: `${job.sessionId}-${job.attempt}`,
      type: JobType.JT_ROOM,
      agentName: start.profile,
      metadata: job.metadata,
      room: new RoomProto({ name: job.room ?? room.name ?? "" }),
    }),
    url: start.livekitUrl,
    token: job.token ?? "",
    workerId: start.host,
    apiKey: start.livekitApiKey,
    apiSecret: start.livekitApiSecret,
  };
  const context = new JobContext(
    proc,
    info as unknown as ConstructorParameters<typeof JobContext>[1],
    room,
    () => {},
    (reason) => onShutdown(reason === "" ? "the agent shut down" : reason),
    inference,
  );
  const { tenant, attempt, user, recovering } = job;
  const inside = insideOf(context);
  inside[logOwner] = { slot, sessionId: job.sessionId };
  inside[greenroomJob] = {
    info: { sessionId: job.sessionId, tenant, attempt, user, resumed: recovering },
    ...hooks,
  };
  return context;
}
