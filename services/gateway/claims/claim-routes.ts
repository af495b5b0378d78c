// GET /api/claims/:id and POST /api/claims/:id/claim: the requests of an agent runner before it serves a session.
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import {
  ClaimAnswer,
  ClaimParams,
  ClaimRequest,
  ClaimStatusAnswer,
  ServiceHeaders,
} from "../../../libs/contracts/claims/http.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import { authenticateService } from "../http/authenticate-service.ts";
import type { Routes } from "../http/routes.ts";
import { requireClaim, takeClaim } from "./take-claim.ts";

export function claimRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/claims/:id",
    {
      schema: {
        summary: "Get a claim ticket",
        description: "The state of the ticket, without a token.",
        tags: ["claims"],
        params: ClaimParams,
        headers: ServiceHeaders,
        response: { 200: ClaimStatusAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params, headers }) => {
      const caller = await authenticateService(gateway, headers.authorization);
      const { value } = await requireClaim(gateway, caller, params.id);
      return { success: true as const, ...toPublicClaim(value) };
    },
  );
  app.post(
    "/api/claims/:id/claim",
    {
      schema: {
        summary: "Claim a session: exchange a claim ticket for the agent's token",
        description:
          "Only one claim gets a token. A repeat with the same nonce and caller gets an answer for half a minute, in case the first answer was lost.",
        tags: ["claims"],
        params: ClaimParams,
        headers: ServiceHeaders,
        body: ClaimRequest,
        response: { 200: ClaimAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params, headers, body }, reply) => {
      const caller = await authenticateService(gateway, headers.authorization);
      const answer = await takeClaim(gateway, caller, params.id, body.nonce);
      return reply.header("Cache-Control", "no-store").send(answer);
    },
  );
}

const toPublicClaim = (ticket: ClaimRecord) => ({
  claimId: ticket.claimId,
  sessionId: ticket.sessionId,
  attempt: ticket.attempt,
  profile: ticket.profile,
  provider: ticket.provider,
  room: ticket.room,
  identity: ticket.identity,
  traceId: ticket.traceId,
  state: ticket.state,
  claimedBy: ticket.claimedBy ?? null,
  reason: ticket.reason ?? null,
  expiresAt: ticket.expiresAt,
});
