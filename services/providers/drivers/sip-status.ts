// What a SIP response says of a call that wasn't answered: a pure table.
import type { CallProgress } from "../../../libs/contracts/providers/provider.ts";

type Unanswered = Extract<CallProgress["status"], "busy" | "noAnswer" | "failed">;

/** RFC 3261 section 21: these tell of the callee, and are nobody's fault. Every other one is a failure to call. */
const byCode: ReadonlyMap<number, Unanswered> = new Map([
  // Request Timeout, Temporarily Unavailable, Request Terminated (by our own ring time-out).
  [408, "noAnswer"],
  [480, "noAnswer"],
  [487, "noAnswer"],
  // Busy Here, Busy Everywhere, and a Decline, which is how a callee says that they won't talk now.
  [486, "busy"],
  [600, "busy"],
  [603, "busy"],
]);

/** Too Many Requests, Request Pending: the only other 4xx that tell of the present moment. */
const PASSING_4XX: ReadonlySet<number> = new Set([429, 491]);

/** Does Not Exist Anywhere, Not Acceptable, Unwanted, Rejected: RFC 3261, 8197 and 8688. */
const FINAL_6XX: ReadonlySet<number> = new Set([604, 606, 607, 608]);

/**
 * `permanent`: the carrier said that this call can't be made, as for want of such a number (404, 410, 484, 604), of the
 * right to call it or of a password. Asked again it says the same.
 */
export function callStatusOfSipCode(sipCode: number): {
  readonly status: Unanswered;
  readonly sipCode: number;
  readonly permanent?: true;
} {
  const status = byCode.get(sipCode) ?? "failed";
  const is4xx = sipCode >= 400 && sipCode < 500;
  const permanent = status === "failed" && ((is4xx && !PASSING_4XX.has(sipCode)) || FINAL_6XX.has(sipCode));
  return { status, sipCode, ...(permanent ? { permanent: true as const } : {}) };
}
