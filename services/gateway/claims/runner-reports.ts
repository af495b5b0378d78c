// POST /api/claims/:id/joined, ready, ended: an agent runner reports the events that an agent-host would publish.
import type { ServiceCaller } from "../../../libs/auth/service-jwt.ts";
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import {
  ArrivalReport,
  ClaimParams,
  EndReport,
  ReportAnswer,
  ServiceHeaders,
} from "../../../libs/contracts/claims/http.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { attemptRefOf } from "../../../libs/contracts/ids.ts";
import { isExternal, PROVIDER_EPOCH, providerHostOf } from "../../../libs/contracts/providers/provider.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import type { Gateway } from "../context.ts";
import { authenticateService } from "../http/authenticate-service.ts";
import { SessionError } from "../http/errors.ts";
import type { Routes } from "../http/routes.ts";
import { endReason } from "./decide-claim.ts";
import { recordOf, requireClaim } from "./take-claim.ts";

export function runnerReportRoutes(app: Routes, gateway: Gateway): void {
  const common = {
    tags: ["claims"],
    params: ClaimParams,
    headers: ServiceHeaders,
    response: { 200: ReportAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
  };
  for (const type of ["joined", "ready"] as const) {
    const summary =
      type === "joined" ? "Report that the agent has joined the room" : "Report that the agent is ready";
    app.post(
      `/api/claims/:id/${type}`,
      {
        schema: {
          ...common,
          summary,
          description: "`claim_over` means that the session continues without this agent. Leave the room.",
          body: ArrivalReport,
        },
      },
      async ({ params, headers, body }) => {
        const caller = await authenticateService(gateway, headers.authorization);
        const { ticket, record } = await claimed(gateway, caller, params.id);
        refuseOver(ticket, record);
        const tookMs = Math.round(body.tookMs ?? measured(gateway, record));
        const { room, identity } = ticket;
        await gateway.bus.streams.publish(sessionEvents, {
          ...byRunner(gateway, ticket),
          type,
          room,
          identity,
          warm: "cold",
          tookMs,
        });
        return answered(ticket, record);
      },
    );
  }
  app.post(
    "/api/claims/:id/ended",
    {
      schema: {
        ...common,
        summary: "Report that the agent has ended",
        description: "Also for a launch that the runner can't serve, claimed or not.",
        body: EndReport,
      },
    },
    async ({ params, headers, body }) => {
      const caller = await authenticateService(gateway, headers.authorization);
      const { ticket, record } = await claimed(gateway, caller, params.id, true);
      // The attempt has already ended, so the report has no effect.
      if (record === undefined || endReason(ticket, record) !== undefined) return answered(ticket, record);
      await gateway.bus.streams.publish(sessionEvents, endEvent(gateway, ticket, body));
      return answered(ticket, record);
    },
  );
}

async function claimed(
  gateway: Gateway,
  caller: ServiceCaller,
  claimId: string,
  mayBeUnclaimed = false,
): Promise<{ ticket: ClaimRecord; record: SessionRecord | undefined }> {
  const { value: ticket } = await requireClaim(gateway, caller, claimId);
  if (ticket.claimedBy === undefined && !mayBeUnclaimed)
    throw new GreenroomError("conflict", `The claim ticket "${claimId}" is not claimed yet. Claim it first.`);
  if (ticket.claimedBy !== undefined && ticket.claimedBy !== caller.subject)
    throw new GreenroomError("forbidden", `The claim ticket "${claimId}" was claimed by another runner.`);
  return { ticket, record: await recordOf(gateway, ticket) };
}

function refuseOver(ticket: ClaimRecord, record: SessionRecord | undefined): asserts record is SessionRecord {
  const reason = endReason(ticket, record);
  if (reason !== undefined)
    throw new SessionError(ticket.sessionId, "claim_over", `Leave the room: ${reason}.`);
}

const byRunner = (gateway: Gateway, ticket: ClaimRecord) => ({
  ...attemptRefOf(ticket),
  at: isoNow(gateway.clock),
  host: isExternal(ticket.provider) ? providerHostOf(ticket.provider) : "",
  epoch: PROVIDER_EPOCH,
});

function endEvent(gateway: Gateway, ticket: ClaimRecord, report: EndReport): SessionEvent {
  const said = byRunner(gateway, ticket);
  if (report.userLeft && report.error === undefined) return { ...said, type: "user_left" };
  const error = report.error === undefined ? undefined : redactTokens(report.error);
  return {
    ...said,
    type: "agent_ended",
    reason: redactTokens(report.reason ?? error ?? "the agent runner reported the end"),
    ...(error === undefined ? {} : { error }),
    retryable: report.retryable,
  };
}

/** Time since this gateway first saw the present state of the session, plus the reported time to join. */
function measured(gateway: Gateway, record: SessionRecord): number {
  const seen = gateway.sessions.get(record.tenant, record.sessionId);
  const sinceMs = seen === undefined ? 0 : gateway.clock.monotonic() - seen.seenAtMs;
  return sinceMs + (record.state === "dispatched" ? 0 : (record.timings.joinMs ?? 0));
}

const answered = (ticket: ClaimRecord, record: SessionRecord | undefined) => ({
  success: true as const,
  sessionId: ticket.sessionId,
  attempt: ticket.attempt,
  state: record?.state ?? ("ended" as const),
});
