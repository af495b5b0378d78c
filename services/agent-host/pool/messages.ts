// The messages between a host and its agent processes, over the channel of the child process.
import type { AgentUsage } from "../../../libs/contracts/calls/call.ts";
import type { LiveKitRoom } from "../../../libs/contracts/fleet/host.ts";
import type { Isolation, PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type { SavedConversation } from "../../../libs/contracts/sessions/conversation.ts";
import type { User } from "../../../libs/contracts/sessions/session.ts";

/** The start parameters of an agent process: JSON in the environment variable PROCESS_START. */
export interface ProcessStart {
  readonly profile: string;
  /** Absolute path of the agent file. */
  readonly file: string;
  readonly host: string;
  /** Unless the file's `pool` export has its own. */
  readonly isolation: Isolation;
  /** The version of the agent code. Absent: the process computes a fingerprint of the files. */
  readonly version?: string;
  readonly livekitUrl: string;
  readonly livekitApiKey: string;
  readonly livekitApiSecret: string;
  /** True when rooms are simulated: nothing connects to LiveKit, and each room has one imaginary user. */
  readonly simulated: boolean;
  readonly logLevel: string;
  readonly failover: ProcessFailover;
  /** Whether an unhandled rejection is logged only, or ends its session. */
  readonly unhandledRejections: "log" | "fail";
  /** The time in ms after which an agent that runs without an AgentSession counts as ready. */
  readonly readyAfterMs: number;
  /** The time in ms from the arrival of a person until transcripts are sent. */
  readonly transcriptDelayMs: number;
  /** True when changed files are loaded again: the process reports what it has loaded. */
  readonly reportsSources?: boolean;
  /** True while a changed file does not load: the host sends the sources that were loaded before. */
  readonly loadsOldCode?: boolean;
}

/** The texts of modules by their absolute paths. */
export type Sources = Readonly<Record<string, string>>;

/** The host's settings for failovers, which an agent file may override. */
export interface ProcessFailover {
  /** True when conversations are stored and restored. */
  readonly restore: boolean;
  /** The first sentence of an agent that resumes a conversation; empty for none. */
  readonly message: string;
}

/** The conversation of an earlier attempt. */
export interface ResumedConversation extends SavedConversation {
  readonly attempt: number;
}

/** The job of a slot: to serve one attempt of a session. */
export interface JobRequest extends AttemptRef {
  /** The room to join; undefined for a hot agent, which is in its standby room. */
  readonly room: string | undefined;
  /** LiveKit's description of that room, if known. */
  readonly liveKitRoom?: LiveKitRoom;
  readonly token: string | undefined;
  readonly identity: string;
  readonly user: User;
  /** JSON text, the format of LiveKit's job metadata. */
  readonly metadata: string;
  readonly recovering: boolean;
  /** The callee's identity in the room; absent without a phone call. */
  readonly callee?: string;
  readonly resumes?: ResumedConversation;
}

export type HostToProcess =
  | { type: "sources"; sources: Sources }
  | { type: "warm"; slot: string }
  | { type: "connect_standby"; slot: string; room: string; token: string; liveKitRoom?: LiveKitRoom }
  | { type: "run"; slot: string; job: JobRequest }
  /** `sessionGoesOn`: another agent continues the session of the slot. */
  | { type: "release"; slot: string; reason: string; sessionGoesOn?: boolean }
  /** Ends the process, which has no session any more. */
  | { type: "exit" }
  | { type: "ping" };

export interface JobError {
  readonly message: string;
  /** False for an error that the next attempt would repeat. */
  readonly retryable: boolean;
  /** Set if this host could not reach LiveKit. */
  readonly cause?: "host";
}

export type ProcessToHost =
  | {
      type: "loaded";
      pool: Partial<PoolSettings>;
      isolation: Isolation;
      version?: string;
      agentName?: string;
      sources?: Sources;
    }
  /** The file is no agent file, for example a helper of one. */
  | { type: "no_agent"; reason: string }
  /** The file requires a key, a package or an export that is missing. */
  | { type: "disabled"; reason: string }
  | { type: "load_failed"; error: string }
  | { type: "warm"; slot: string; tookMs: number }
  | { type: "warm_failed"; slot: string; error: string; retryable?: boolean }
  | { type: "hot"; slot: string }
  | { type: "standby_failed"; slot: string; error: string }
  /** The file's requestFunc did not take the job. Its agent goes, without having joined the session's room. */
  | { type: "declined"; slot: string; reason: string }
  | { type: "joined"; slot: string; room: string; identity: string }
  /** `awaitingUser`: the file waits for its user before it goes on, and `started` follows. */
  | { type: "ready"; slot: string; room: string; identity: string; awaitingUser?: true }
  | { type: "started"; slot: string }
  /** The file needs a connection that a standby room does not have, for example with encryption or another identity. */
  | { type: "reconnected"; slot: string }
  /** Whether any human is in the room. `hungUp`: the agent's session has closed, so a return would be of no use. */
  | { type: "user"; slot: string; present: boolean; hungUp: boolean }
  | { type: "active"; slot: string }
  /** The whole conversation so far, sent after every change. */
  | ({ type: "conversation"; slot: string } & SavedConversation)
  /** The whole usage of the agent's sessions so far, sent at intervals and at the end. */
  | { type: "usage"; slot: string; usage: AgentUsage }
  /** The job ended by itself: the agent shut down, its room closed, its code failed, or it lost its room. */
  | { type: "ended"; slot: string; reason: string; error?: JobError; lost: boolean }
  /** The agent has left its room, and may still clean up. */
  | { type: "left"; slot: string }
  /** The agent has cleaned up, and its slot is gone. */
  | { type: "closed"; slot: string }
  | { type: "log"; slot: string | undefined; sessionId: string | undefined; line: ProcessLogLine }
  /** An error that belongs to no agent: the process finishes its sessions and takes no more. */
  | { type: "unhealthy"; error: string }
  /** A promise that nobody awaits was rejected; the agents continue. */
  | { type: "unhandled_rejection" }
  /** `lagMs`: the longest lag of the event loop since the answer before. */
  | { type: "pong"; memoryMb: number; lagMs: number };

type WithoutSlot<T> = T extends unknown ? Omit<T, "slot"> : never;

/** An event of an agent while it serves a session. */
export type AgentEvent =
  | WithoutSlot<
      Extract<
        ProcessToHost,
        {
          type:
            | "declined"
            | "joined"
            | "ready"
            | "started"
            | "user"
            | "active"
            | "conversation"
            | "usage"
            | "ended"
            | "log";
        }
      >
    >
  /** The agent's process is gone, or its host stops. */
  | { type: "lost"; reason: string }
  /** The slot is gone. */
  | { type: "closed" };

export interface ProcessLogLine {
  readonly at: string;
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}
