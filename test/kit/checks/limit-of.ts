// The deadline of each state, as the session's record defines it.
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";

type Kind = Extract<SessionEvent, { type: "deadline_exceeded" }>["kind"];

/** Returns the deadline in ms. */
export function limitOf(kind: Kind, { deadlineMs: limits, requestedWarmth }: SessionRecord): number {
  switch (kind) {
    case "waiting":
      return limits.requested;
    case "join":
      return limits.dispatched + (requestedWarmth === "cold" ? limits.coldExtra : 0);
    case "ready":
      return limits.joined;
    case "max_duration":
      return limits.maxDuration;
    case "user_absent":
      return limits.userAbsent;
    case "idle":
      return limits.idle;
  }
}
