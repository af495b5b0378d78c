// Derives the events for other systems from a session's record and its claim. Pure.
import {
  type ClaimRecord,
  claimEventFields,
  HANDOFF_PREFIX,
  type HandoffEvent,
  type HandoffRequested,
  originOf,
} from "../../libs/contracts/claims/claim.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

/** The attempt that a revision reports on: the present one, or the one that the session has just given up. */
export const reportedAttemptOf = ({ attempt, state }: SessionRecord): number =>
  state === "requested" ? attempt - 1 : attempt;

/** Whether a session has events for other systems: sessions from handoffs, and sessions of agent runners. */
export const isPublished = ({
  sessionId,
  provider,
}: Pick<SessionRecord, "sessionId" | "provider">): boolean =>
  sessionId.startsWith(HANDOFF_PREFIX) || provider === "webhook";

/**
 * The events of one stored revision of a session. They follow from the record alone, so a redelivered revision gives
 * the same events, which their ids deduplicate.
 *
 * @param claim the claim of the reported attempt, where there is one
 */
export function eventsOfSession(
  record: SessionRecord,
  claim: ClaimRecord | undefined,
  at: string,
): HandoffEvent[] {
  if (!isPublished(record)) return [];
  const about = aboutSession(record, reportedAttemptOf(record), claim, at);
  switch (record.state) {
    case "requested":
      return wasDispatched(record, about.attempt) ? failure(record, about, false) : [];
    case "dispatched":
      // A handoff to an agent runner is reported once its claim exists.
      return isHandoff(record) && record.provider !== "webhook"
        ? [{ ...about, type: "handoff_dispatched" }]
        : [];
    case "joined":
      return [{ ...about, type: "agent_session_bootstrap_ready" }];
    case "ready":
      // `ready` may have overtaken `joined`.
      return [
        { ...about, type: "agent_session_bootstrap_ready" },
        { ...about, type: "agent_session_launch_succeeded" },
      ];
    case "ended":
      return record.history.some(({ state }) => state === "dispatched")
        ? failure(record, about, true)
        : failedHandoff(record, at);
  }
}

/** The events of one stored revision of a claim. */
export function eventsOfClaim(claim: ClaimRecord, at: string): HandoffEvent[] {
  const about = claimEventFields(claim, at);
  switch (claim.state) {
    case "offered":
      return [{ ...about, type: "handoff_dispatched" }];
    case "claimed":
      return [{ ...about, type: "dispatch_claimed", claimed_by: claim.claimedBy ?? "" }];
    case "expired":
      return [
        {
          ...about,
          type: "dispatch_claim_failed",
          reason: "expired",
          message: claim.reason ?? "nobody claimed it in time",
        },
      ];
    case "used":
      return [];
  }
}

/** The event for a handoff that becomes no session. */
export const refusedHandoff = (
  { trace_id, tenant_id, agent_id, room }: HandoffRequested,
  session_id: string,
  { reason, message }: { readonly reason: string; readonly message: string },
  at: string,
): HandoffEvent => ({
  ...{
    version: 1,
    type: "handoff_failed",
    at,
    trace_id,
    tenant_id,
    session_id,
    agent_id,
    room,
    reason,
    message,
  },
});

const aboutSession = (
  record: SessionRecord,
  attempt: number,
  claim: ClaimRecord | undefined,
  at: string,
) => ({
  version: 1 as const,
  at,
  trace_id: traceOf(record),
  tenant_id: record.tenant,
  session_id: record.sessionId,
  attempt: Math.max(1, attempt),
  agent_id: record.profile,
  room: record.room,
  provider: record.provider ?? ("pool" as const),
  ...(claim === undefined ? {} : { dispatch_id: claim.claimId, dispatch_expires_at: claim.expiresAt }),
});

const isHandoff = ({ sessionId }: SessionRecord): boolean => sessionId.startsWith(HANDOFF_PREFIX);

const traceOf = (record: SessionRecord): string =>
  originOf(record.sessionId, record.metadata)?.trace_id ?? record.sessionId;

const wasIn = (record: SessionRecord, attempt: number, state: "dispatched" | "ready"): boolean =>
  record.history.some((entry) => entry.attempt === attempt && entry.state === state);
const wasDispatched = (record: SessionRecord, attempt: number) => wasIn(record, attempt, "dispatched");

/** Only for an attempt that never became ready: the launch of a ready one has succeeded. */
function failure(
  record: SessionRecord,
  about: ReturnType<typeof aboutSession>,
  final: boolean,
): HandoffEvent[] {
  if (wasIn(record, about.attempt, "ready")) return [];
  const message = record.history.at(-1)?.reason ?? "no reason given";
  const reason = record.endedReason ?? "tried_again";
  return [{ ...about, type: "agent_session_launch_failed", reason, message, final }];
}

function failedHandoff(record: SessionRecord, at: string): HandoffEvent[] {
  if (!isHandoff(record)) return [];
  const { attempt: _, provider: __, ...about } = aboutSession(record, 1, undefined, at);
  const message = record.history.at(-1)?.reason ?? "no reason given";
  return [{ ...about, type: "handoff_failed", reason: record.endedReason ?? "ended", message }];
}
