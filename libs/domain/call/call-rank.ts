// Ranks the statuses of phone calls: by how far a call has come, and by how surely it reached somebody.
import type { CallProgress, CallStatus } from "../../contracts/providers/provider.ts";

interface Rank {
  /** A call only moves up: an event of a lower progress than the known one is late. */
  readonly progress: number;
  /** Of several calls the one with the most reach decides whether the callee may be called again. */
  readonly reach: number;
}

const ranks: Record<CallStatus, Rank> = {
  dialing: { progress: 0, reach: 2 },
  ringing: { progress: 1, reach: 3 },
  answered: { progress: 2, reach: 6 },
  failed: { progress: 3, reach: 0 },
  noAnswer: { progress: 3, reach: 1 },
  busy: { progress: 3, reach: 1 },
  unknown: { progress: 3, reach: 4 },
  voicemail: { progress: 3, reach: 5 },
  hungUp: { progress: 3, reach: 7 },
};

/** Below every other for a call that has no status yet. */
export const progressOf = (status: CallStatus | undefined): number =>
  status === undefined ? -1 : ranks[status].progress;

export const reachOf = ({ status, unanswered }: CallProgress): number =>
  ranks[unanswered ? "noAnswer" : status].reach;
