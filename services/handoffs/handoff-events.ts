// What other systems are told of a handoff: a pure reading of the session's record and of its dispatch.
import {
  type ClaimRecord,
  claimEventFields,
  HANDOFF_PREFIX,
  type HandoffEvent,
  type HandoffRequested,
  originOf,
} from "../../libs/contracts/claims/claim.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

/** The attempt that a record as it stands has news of: the present one, or the one that it gave up just now. */
export const reportedAttemptOf = ({ attempt, state }: SessionRecord): number =>
  state === "requested" ? attempt - 1 : attempt;

/** Of whose sessions anything is told: those that were handed over, and those whose agent is somebody else's. */
export const isPublished = ({
  sessionId,
  provider,
}: Pick<SessionRecord, "sessionId" | "provider">): boolean =>
  sessionId.startsWith(HANDOFF_PREFIX) || provider === "webhook";

/**
 * What one stored revision of a session's record has to tell. It is read off the record, so that a revision that is
 * handed over again tells the same, and the events' ids make that one.
 *
 * @param dispatch of the attempt that is told of, where it has one
 */
export function eventsOfSession(
  record: SessionRecord,
  dispatch: ClaimRecord | undefined,
  at: string,
): HandoffEvent[] {
  if (!isPublished(record)) return [];
  const told = ofSession(record, reportedAttemptOf(record), dispatch, at);
  switch (record.state) {
    case "requested":
      return wasDispatched(record, told.attempt) ? failure(record, told, false) : [];
    case "dispatched":
      // One that is to be claimed is told once it can be.
      return isHandoff(record) && record.provider !== "webhook"
        ? [{ ...told, type: "handoff_dispatched" }]
        : [];
    case "joined":
      return [{ ...told, type: "agent_session_bootstrap_ready" }];
    case "ready":
      // It may have overtaken the news that it joined.
      return [
        { ...told, type: "agent_session_bootstrap_ready" },
        { ...told, type: "agent_session_launch_succeeded" },
      ];
    case "ended":
      return record.history.some(({ state }) => state === "dispatched")
        ? failure(record, told, true)
        : failedHandoff(record, at);
  }
}

/** What one stored revision of a dispatch has to tell. */
export function eventsOfClaim(dispatch: ClaimRecord, at: string): HandoffEvent[] {
  const told = claimEventFields(dispatch, at);
  switch (dispatch.state) {
    case "offered":
      return [{ ...told, type: "handoff_dispatched" }];
    case "claimed":
      return [{ ...told, type: "dispatch_claimed", claimed_by: dispatch.claimedBy ?? "" }];
    case "expired":
      return [
        {
          ...told,
          type: "dispatch_claim_failed",
          reason: "expired",
          message: dispatch.reason ?? "nobody claimed it in time",
        },
      ];
    case "used":
      return [];
  }
}

/** That a handoff could not even become a session. */
export const refusedHandoff = (
  handoff: HandoffRequested,
  sessionId: string,
  refusal: { readonly reason: string; readonly message: string },
  at: string,
): HandoffEvent => ({
  version: 1,
  type: "handoff_failed",
  at,
  trace_id: handoff.trace_id,
  tenant_id: handoff.tenant_id,
  session_id: sessionId,
  agent_id: handoff.agent_id,
  room: handoff.room,
  ...refusal,
});

const ofSession = (
  record: SessionRecord,
  attempt: number,
  dispatch: ClaimRecord | undefined,
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
  ...(dispatch === undefined
    ? {}
    : { dispatch_id: dispatch.claimId, dispatch_expires_at: dispatch.expiresAt }),
});

const isHandoff = ({ sessionId }: SessionRecord): boolean => sessionId.startsWith(HANDOFF_PREFIX);

const traceOf = (record: SessionRecord): string =>
  originOf(record.sessionId, record.metadata)?.trace_id ?? record.sessionId;

const wasIn = (record: SessionRecord, attempt: number, state: "dispatched" | "ready"): boolean =>
  record.history.some((entry) => entry.attempt === attempt && entry.state === state);
const wasDispatched = (record: SessionRecord, attempt: number) => wasIn(record, attempt, "dispatched");

/** Only of an attempt that never became ready: one that did was launched well, whatever became of it. */
function failure(record: SessionRecord, told: ReturnType<typeof ofSession>, final: boolean): HandoffEvent[] {
  if (wasIn(record, told.attempt, "ready")) return [];
  const message = record.history.at(-1)?.reason ?? "no reason was given";
  const reason = record.endedReason ?? "tried_again";
  return [{ ...told, type: "agent_session_launch_failed", reason, message, final }];
}

function failedHandoff(record: SessionRecord, at: string): HandoffEvent[] {
  if (!isHandoff(record)) return [];
  return [
    {
      version: 1,
      type: "handoff_failed",
      at,
      trace_id: traceOf(record),
      tenant_id: record.tenant,
      session_id: record.sessionId,
      agent_id: record.profile,
      room: record.room,
      reason: record.endedReason ?? "ended",
      message: record.history.at(-1)?.reason ?? "no reason was given",
    },
  ];
}
