// Decides what is due for a claim, from how long one process has seen it unchanged. Pure.
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";

export interface ClaimLimits {
  /** How long an offer may stay unclaimed. */
  readonly claimMs: number;
  /** How long the same claim is answered again, in case the answer was lost. */
  readonly repeatMs: number;
  /** How long a claim is kept after its attempt, so that a late runner learns the reason. */
  readonly keepMs: number;
}

export type Due =
  | { readonly become: "expired" | "used"; readonly reason: string | undefined }
  | { readonly become: "removed" };

/** Durations on the monotonic clock of one process. */
export interface Age {
  /** How long the process has seen this revision. */
  readonly ageMs: number;
  /** Why the attempt is over, and for how long the process has known. */
  readonly over?: { readonly reason: string; readonly forMs: number };
}

export function decideExpiry(claim: ClaimRecord, { ageMs, over }: Age, limits: ClaimLimits): Due | undefined {
  switch (claim.state) {
    case "offered":
      if (over !== undefined) return { become: "expired", reason: over.reason };
      if (ageMs < limits.claimMs) return undefined;
      return { become: "expired", reason: `nobody claimed it within ${limits.claimMs / 1000} s` };
    case "claimed":
      return over !== undefined || ageMs >= limits.repeatMs
        ? { become: "used", reason: over?.reason }
        : undefined;
    case "used":
    case "expired":
      // A claim that is removed before its attempt is over could be offered a second time.
      return over !== undefined && over.forMs >= limits.keepMs ? { become: "removed" } : undefined;
  }
}

/**
 * Why the attempt of a claim is over. A process may learn of a claim before it learns of the session. A session that is
 * missing or behind therefore proves nothing, unless it has been missing for long.
 */
export function endReason(
  claim: ClaimRecord,
  session: SessionRecord | undefined,
  isLongMissing: boolean,
): string | undefined {
  if (session === undefined) return isLongMissing ? "there is no such session any more" : undefined;
  if (session.state === "ended") return `the session has ended: ${session.endedReason}`;
  if (session.attempt > claim.attempt) return `the session goes on with attempt ${session.attempt}`;
  return undefined;
}
