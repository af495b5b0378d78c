// What a SIP response says of a call that wasn't answered: a pure table.
import type { CallProgress } from "../../../libs/contracts/provider.ts";

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

export const callOfSipCode = (sipCode: number): { status: Unanswered; sipCode: number } => ({
  status: byCode.get(sipCode) ?? "failed",
  sipCode,
});
