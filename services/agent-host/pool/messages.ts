// The messages between a host and its agent processes, over the channel of the child process.
import type { AgentUsage } from "../../../libs/contracts/calls/call.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type { SavedConversation } from "../../../libs/contracts/sessions/conversation.ts";
import type { User } from "../../../libs/contracts/sessions/session.ts";

/** The start parameters of an agent process: JSON in the environment variable PROCESS_START. */
export interface ProcessStart {
  readonly profile: string;
  /** Absolute path of the agent file. */
  readonly file: string;
  readonly host: string;
  readonly livekitUrl: string;
  readonly livekitApiKey: string;
  readonly livekitApiSecret: string;
  /** True when rooms are simulated: nothing connects to LiveKit, and each room has one imaginary user. */
  readonly simulated: boolean;
  readonly logLevel: string;
  readonly failover: ProcessFailover;
}

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
  | { type: "warm"; slot: string }
  | { type: "connect_standby"; slot: string; room: string; token: string }
  | { type: "run"; slot: string; job: JobRequest }
  | { type: "release"; slot: string; reason: string }
  | { type: "ping" };

export interface JobError {
  readonly message: string;
  /** False for an error that the next attempt would repeat. */
  readonly retryable: boolean;
}

export type ProcessToHost =
  | { type: "loaded"; pool: Partial<PoolSettings> }
  /** The file requires a key or a package that is missing. */
  | { type: "disabled"; reason: string }
  | { type: "load_failed"; error: string }
  | { type: "warm"; slot: string; tookMs: number }
  | { type: "warm_failed"; slot: string; error: string }
  | { type: "hot"; slot: string }
  | { type: "standby_failed"; slot: string; error: string }
  | { type: "joined"; slot: string; room: string; identity: string }
  | { type: "ready"; slot: string; room: string; identity: string }
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
  | { type: "pong"; memoryMb: number };

type WithoutSlot<T> = T extends unknown ? Omit<T, "slot"> : never;

/** An event of an agent while it serves a session. */
export type AgentEvent =
  | WithoutSlot<
      Extract<
        ProcessToHost,
        { type: "joined" | "ready" | "user" | "active" | "conversation" | "usage" | "ended" | "log" }
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
