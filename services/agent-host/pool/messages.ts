// What a host and its stages say to each other over the child process's channel.
import type { AgentUsage } from "../../../libs/contracts/calls/call.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type { SavedConversation } from "../../../libs/contracts/sessions/conversation.ts";
import type { User } from "../../../libs/contracts/sessions/session.ts";

/** What a stage is started with, as JSON in its environment (STAGE_START). */
export interface ProcessStart {
  readonly profile: string;
  /** Absolute path of the agent file. */
  readonly file: string;
  readonly host: string;
  readonly livekitUrl: string;
  readonly livekitApiKey: string;
  readonly livekitApiSecret: string;
  /** Rooms are simulated: nothing is connected to, and one imaginary user is there. */
  readonly simulated: boolean;
  readonly logLevel: string;
  readonly failover: ProcessFailover;
}

/** What the host's settings say of hand-overs; an agent file may say otherwise. */
export interface ProcessFailover {
  /** Conversations are kept and restored. */
  readonly restore: boolean;
  /** What a resuming agent says first; empty: nothing. */
  readonly message: string;
}

/** The conversation that a former attempt left. */
export interface ResumedConversation extends SavedConversation {
  readonly attempt: number;
}

/** One session's job for a slot. */
export interface JobRequest extends AttemptRef {
  /** The room to join; undefined for a hot slot, which is in its own already. */
  readonly room: string | undefined;
  readonly token: string | undefined;
  readonly identity: string;
  readonly user: User;
  /** JSON text, as LiveKit gives job metadata. */
  readonly metadata: string;
  readonly recovering: boolean;
  /** Whom a telephone call reaches, by their identity in the room; absent without one. */
  readonly callee?: string;
  readonly resumes?: ResumedConversation;
}

export type HostToProcess =
  | { type: "warm"; slot: string }
  | { type: "connect_standby"; slot: string; room: string; token: string }
  | { type: "run"; slot: string; job: JobRequest }
  | { type: "release"; slot: string; reason: string }
  | { type: "ping" };

export interface JobError {
  readonly message: string;
  /** False for an error that would only happen again. */
  readonly retryable: boolean;
}

export type ProcessToHost =
  | { type: "loaded"; pool: Partial<PoolSettings> }
  /** The file asks for something that isn't there: a key, a package. */
  | { type: "disabled"; reason: string }
  | { type: "load_failed"; error: string }
  | { type: "warm"; slot: string; tookMs: number }
  | { type: "warm_failed"; slot: string; error: string }
  | { type: "hot"; slot: string }
  | { type: "standby_failed"; slot: string; error: string }
  | { type: "joined"; slot: string; room: string; identity: string }
  | { type: "ready"; slot: string; room: string; identity: string }
  /** Whether any human is in the room; `hungUp`: the agent's session has closed, so coming back is of no use. */
  | { type: "user"; slot: string; present: boolean; hungUp: boolean }
  | { type: "active"; slot: string }
  /** All that was said so far; sent again whenever something is added. */
  | ({ type: "conversation"; slot: string } & SavedConversation)
  /** All that its sessions have measured so far; sent now and then, and when they are over. */
  | { type: "usage"; slot: string; usage: AgentUsage }
  /** The job is over by itself: the agent shut down, its room closed, its code failed, or it lost its room. */
  | { type: "ended"; slot: string; reason: string; error?: JobError; lost: boolean }
  /** The agent is out of its room; what else it has to do goes on. */
  | { type: "left"; slot: string }
  /** Everything of the slot is cleaned up; it is gone. */
  | { type: "closed"; slot: string }
  | { type: "log"; slot: string | undefined; sessionId: string | undefined; line: ProcessLogLine }
  /** Something failed that can't be traced to one agent: finish what runs and start no more here. */
  | { type: "unhealthy"; error: string }
  | { type: "pong"; memoryMb: number };

export interface ProcessLogLine {
  readonly at: string;
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}
