// Creates the JobContext for an agent file's `entry`: LiveKit's own class, with Greenroom's hooks.
import { type JobAcceptArguments, JobContext, type JobProcess, log } from "@livekit/agents";
import { Job, JobState, JobStatus, JobType, Room as RoomProto } from "@livekit/protocol";
import { RoomEvent } from "@livekit/rtc-node";
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
  /** The job in LiveKit's format, by `protoOf`. */
  readonly proto: Job;
  /** The arguments with which the file's requestFunc has accepted the job. */
  readonly accepted: JobAcceptArguments;
  /** The identity of the agent in its room. */
  readonly identity: string;
  /** The token with which the agent joins its room, or has joined it. */
  readonly token: string;
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

const NS_PER_MS = 1_000_000n;

type JsonObject = Parameters<typeof RoomProto.fromJson>[0];

/** The job of an attempt. A room that its creator has not described is complete once the agent is in it. */
export function protoOf(start: ProcessStart, job: JobRequest, agentName: string, room: JobRoom): Job {
  const now = BigInt(Date.now()) * NS_PER_MS;
  const proto = new Job({
    id: `${job.sessionId}-${job.attempt}`,
    // In LiveKit, the jobs that follow a failed one have its dispatch.
    dispatchId: job.sessionId,
    type: JobType.JT_ROOM,
    agentName,
    metadata: job.metadata,
    room: RoomProto.fromJson((room.described ?? {}) as JsonObject, { ignoreUnknownFields: true }),
    state: new JobState({
      status: JobStatus.JS_RUNNING,
      workerId: start.host,
      startedAt: now,
      updatedAt: now,
    }),
  });
  if (proto.room?.name === "") proto.room.name = job.room ?? room.name ?? "";
  describeRoom(proto, room);
  return proto;
}

/** Copies to the job what the agent has learned about its room. */
export function describeRoom(proto: Job, room: JobRoom): void {
  if (!room.isConnected || proto.room === undefined) return;
  const { room: known } = proto;
  const creationMs = room.creationTime.getTime();
  known.name = room.name ?? known.name;
  known.sid = room.sid;
  known.metadata = room.metadata ?? "";
  known.emptyTimeout = room.emptyTimeout;
  known.departureTimeout = room.departureTimeout;
  known.creationTime = BigInt(Math.floor(creationMs / 1000));
  known.creationTimeMs = BigInt(creationMs);
  known.numParticipants = room.numParticipants;
  known.numPublishers = room.numPublishers;
  known.activeRecording = room.isRecording;
  if (known.sid === "")
    room.once(RoomEvent.RoomSidChanged, (sid) => {
      known.sid = sid;
    });
}

interface Control {
  /** Called with the reason when the agent ends its own job. */
  readonly shutdown: (reason: string) => void;
  /** Whether another agent may continue the session in its room, so that the end of this job must not delete the room. */
  readonly keepsRoom: () => boolean;
}

export function makeContext(
  { slot, proc, room, start, job, proto, accepted, identity, token, inference }: ContextDeps,
  hooks: Omit<GreenroomJob, "info">,
  { shutdown, keepsRoom }: Control,
): JobContext {
  const info = {
    acceptArguments: { ...accepted, identity },
    job: proto,
    url: start.livekitUrl,
    token,
    workerId: start.host,
    apiKey: start.livekitApiKey,
    apiSecret: start.livekitApiSecret,
  };
  const context = new JobContext(
    proc,
    info as unknown as ConstructorParameters<typeof JobContext>[1],
    room,
    () => {},
    (reason) => shutdown(reason === "" ? "the agent shut down" : reason),
    inference,
  );
  const deleteRoom = context.deleteRoom.bind(context);
  context.deleteRoom = async (name) => {
    const isOwn = name === undefined || name === "" || name === room.name;
    if (isOwn && keepsRoom()) log().info("the room stays, because another agent continues the session");
    else await deleteRoom(name);
  };
  const { tenant, attempt, user, recovering } = job;
  const inside = insideOf(context);
  inside[logOwner] = { slot, sessionId: job.sessionId };
  inside[greenroomJob] = {
    info: { sessionId: job.sessionId, tenant, attempt, user, resumed: recovering },
    ...hooks,
  };
  return context;
}
