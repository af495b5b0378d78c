// GET /api/dispatches/:id and POST /api/dispatches/:id/claim: what an agent runner needs before it serves a session.
import type { DispatchRecord } from "../../../libs/contracts/claims/claim.ts";
import {
  ClaimAnswer,
  ClaimRequest,
  DispatchAnswer,
  DispatchParams,
  ServiceHeaders,
} from "../../../libs/contracts/claims/http.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import { requireService } from "../http/authenticate-service.ts";
import type { Routes } from "../http/routes.ts";
import { claimDispatch, requireDispatch } from "./take-claim.ts";

export function dispatchRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/dispatches/:id",
    {
      schema: {
        summary: "Get a dispatch",
        description: "How it stands. Nobody gets a token here.",
        tags: ["dispatches"],
        params: DispatchParams,
        headers: ServiceHeaders,
        response: { 200: DispatchAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params, headers }) => {
      const caller = await requireService(gateway, headers.authorization);
      const { value } = await requireDispatch(gateway, caller, params.id);
      return { success: true as const, ...shown(value) };
    },
  );
  app.post(
    "/api/dispatches/:id/claim",
    {
      schema: {
        summary: "Claim a dispatch: get the agent's token, once",
        description:
          "Of many claims one is answered with a token. The same claim, known by its nonce and its caller, is answered again for half a minute, in case an answer was lost.",
        tags: ["dispatches"],
        params: DispatchParams,
        headers: ServiceHeaders,
        body: ClaimRequest,
        response: { 200: ClaimAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params, headers, body }, reply) => {
      const caller = await requireService(gateway, headers.authorization);
      const answer = await claimDispatch(gateway, caller, params.id, body.nonce);
      return reply.header("Cache-Control", "no-store").send(answer);
    },
  );
}

const shown = (dispatch: DispatchRecord) => ({
  dispatchId: dispatch.id,
  sessionId: dispatch.session,
  attempt: dispatch.attempt,
  profile: dispatch.profile,
  provider: dispatch.provider,
  room: dispatch.room,
  identity: dispatch.identity,
  traceId: dispatch.traceId,
  state: dispatch.state,
  claimedBy: dispatch.claimedBy ?? null,
  why: dispatch.why ?? null,
  expiresAt: dispatch.expiresAt,
});
