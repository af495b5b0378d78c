// The slots and stages of a host, as data.
import type { SlotState } from "../../../libs/contracts/fleet/host.ts";
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type { Warmth } from "../../../libs/contracts/sessions/session.ts";
import type { Resolvers } from "../../../libs/runtime/with-resolvers.ts";
import type { JobRequest } from "./messages.ts";
import type { ProcessLink, ProcessLiveness } from "./supervised-process.ts";

export interface AgentProcess {
  readonly id: string;
  readonly slots: Map<string, Slot>;
  readonly liveness: ProcessLiveness;
  link: ProcessLink;
  isLoaded: boolean;
  /** Finishes what runs and takes nothing new. */
  isUnhealthy: boolean;
  memoryMb: number | undefined;
  /** Sessions that its agents were given, ever. */
  served: number;
}

/** What an agent is busy with. */
export interface Assignment extends AttemptRef {
  /** How warm the agent was when it was taken. */
  readonly warmth: Warmth;
  readonly takenAtMs: number;
  job: JobRequest | undefined;
  readyAtMs: number | undefined;
  lastActiveAtMs: number;
  userJoined: boolean;
  isReleased: boolean;
  /** How long it took to join and to become ready, in ms. */
  joinMs?: number;
  readyMs?: number;
  /** How it came to its end, and when, on the host's monotonic clock. */
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
  /** Its turn to be started has come. */
  isAdmitted: boolean;
  isConnectingStandby: boolean;
  /** It is in a standby room that no session has taken over. */
  hasStandby: boolean;
  assignment: Assignment | undefined;
  /** Settles when its agent is out of its room, in whatever way. */
  readonly left: Resolvers<void>;
  /** Gives back its place among those being started. */
  leaveLimiter: () => void;
}
