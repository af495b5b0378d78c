// What has come due of a dispatch: a pure decision over how long one process has seen it as it is.
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";

export interface ClaimLimits {
  /** How long it may stand unclaimed. */
  readonly claimMs: number;
  /** How long the same claim is answered again, in case its answer was lost. */
  readonly repeatMs: number;
  /** How long it is kept once its attempt is over, so that who comes late is told why. */
  readonly keepMs: number;
}

export type Due =
  | { readonly become: "expired" | "used"; readonly reason: string | undefined }
  | { readonly become: "removed" };

/** What one process knows of it; times are on its monotonic clock. */
export interface Age {
  /** How long it has seen this very revision. */
  readonly ageMs: number;
  /** Why its attempt is over, and how long that has been known. */
  readonly over?: { readonly reason: string; readonly forMs: number };
}

export function decideExpiry(
  dispatch: ClaimRecord,
  { ageMs, over }: Age,
  limits: ClaimLimits,
): Due | undefined {
  switch (dispatch.state) {
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
      // Never before its attempt is over: one that is gone could be offered a second time.
      return over !== undefined && over.forMs >= limits.keepMs ? { become: "removed" } : undefined;
  }
}

/**
 * Why nobody needs it any more. A process may hear of a dispatch before it hears of its session, so a record that is
 * missing, or behind, says nothing; one that is missing for long was removed.
 */
export function endReason(
  dispatch: ClaimRecord,
  record: SessionRecord | undefined,
  isLongMissing: boolean,
): string | undefined {
  if (record === undefined) return isLongMissing ? "there is no such session any more" : undefined;
  if (record.state === "ended") return `the session has ended: ${record.endedReason}`;
  if (record.attempt > dispatch.attempt) return `the session goes on with attempt ${record.attempt}`;
  return undefined;
}
