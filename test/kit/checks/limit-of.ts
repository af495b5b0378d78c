// How long a session may stay in a state before it may be called overdue.
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";

type Kind = Extract<SessionEvent, { type: "deadline_exceeded" }>["kind"];

/** In ms, as the record itself says. */
export function limitOf(kind: Kind, { deadlineMs: limits, requestedWarmth: asked }: SessionRecord): number {
  switch (kind) {
    case "waiting":
      return limits.requested;
    case "join":
      return limits.dispatched + (asked === "cold" ? limits.coldExtra : 0);
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
