// The slots and agent processes of a host, as data.
import type { SlotState } from "../../../libs/contracts/fleet/host.ts";
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import type { Resolvers } from "../../../libs/runtime/with-resolvers.ts";
import type { JobRequest } from "./messages.ts";
import type { CpuTimes } from "./proc-stat.ts";
import type { ProcessLink, ProcessLiveness } from "./supervised-process.ts";

export interface AgentProcess {
  readonly id: string;
  readonly profile: string;
  readonly slots: Map<string, Slot>;
  readonly liveness: ProcessLiveness;
  /** The time at which it was launched, in ms on the host's monotonic clock. */
  readonly launchedAtMs: number;
  link: ProcessLink;
  isLoaded: boolean;
  /** The version of the code that it has loaded. */
  version: string | undefined;
  /** True when the process finishes its sessions and takes no more. */
  isUnhealthy: boolean;
  memoryMb: number | undefined;
  /** The CPU time of its main thread when it had loaded the file. Undefined where that is unknown. */
  ranMsAtLoad: number | undefined;
  /** The number of agents that it has warmed. */
  warmed: number;
  /** The present time without sessions. */
  idle: IdleTime | undefined;
  /** The number of sessions that its agents have served. */
  served: number;
  /** Lets the next process of the host load its file. */
  leaveLoading: () => void;
}

/** A time without sessions, with what the process did in it. */
export interface IdleTime {
  readonly atMs: number;
  /** The CPU times of the main thread at the beginning. */
  readonly before: CpuTimes;
  /** How long the main thread had waited for a CPU by the last answer to a ping. */
  lastWaitedMs: number;
  /** For each answer, the longest lag since the answer before, without the time that the process waited for a CPU. */
  readonly ownLagsMs: number[];
}

/** The session that an agent serves. */
export interface Assignment extends AttemptRef {
  /** How warm the agent was when it was taken. */
  readonly warmth: Warmth;
  readonly takenAtMs: number;
  job: JobRequest | undefined;
  readyAtMs: number | undefined;
  /** Resolves when the event `ready` is stored. */
  readyStored?: Promise<void>;
  lastActiveAtMs: number;
  userJoined: boolean;
  isReleased: boolean;
  /** The time that the agent took to join and to become ready, in ms. */
  joinMs?: number;
  readyMs?: number;
  /** How and when the assignment ended, on the host's monotonic clock. */
  over?: AssignmentEnd;
}

export interface AssignmentEnd {
  readonly how: "released" | "ended" | "lost";
  readonly reason: string;
  readonly atMs: number;
}

export interface Slot {
  readonly id: string;
  readonly process: AgentProcess;
  readonly startedAtMs: number;
  state: SlotState;
  /** True once the spawn limiter lets the agent start. */
  isAdmitted: boolean;
  isConnectingStandby: boolean;
  /** True while the agent is in a standby room that no session uses. */
  hasStandby: boolean;
  assignment: Assignment | undefined;
  /** Settles when the agent has left its room or is gone. */
  readonly left: Resolvers<void>;
  /** Cancels the time-out of its prewarm. */
  cancelTimeout: () => void;
  /** Frees its place in the spawn limiter, and cancels the time-out. */
  leaveLimiter: () => void;
}
