// Maps the SIP response of an unanswered call to its status. Pure.
import type { CallProgress } from "../../../libs/contracts/providers/provider.ts";

type Unanswered = Extract<CallProgress["status"], "busy" | "noAnswer" | "failed">;

/** RFC 3261 section 21: these codes describe the callee. Every other code is a failed call. */
const byCode: ReadonlyMap<number, Unanswered> = new Map([
  // Request Timeout, Temporarily Unavailable, Request Terminated (by our own ring time-out).
  [408, "noAnswer"],
  [480, "noAnswer"],
  [487, "noAnswer"],
  // Busy Here, Busy Everywhere, and Decline: the callee does not want to talk now.
  [486, "busy"],
  [600, "busy"],
  [603, "busy"],
]);

/** Too Many Requests, Request Pending: the only other temporary 4xx. */
const PASSING_4XX: ReadonlySet<number> = new Set([429, 491]);

/** Does Not Exist Anywhere, Not Acceptable, Unwanted, Rejected: RFC 3261, 8197 and 8688. */
const FINAL_6XX: ReadonlySet<number> = new Set([604, 606, 607, 608]);

/**
 * `permanent`: a repeated call fails the same way. The number does not exist (404, 410, 484, 604), or rights or
 * credentials are missing.
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
