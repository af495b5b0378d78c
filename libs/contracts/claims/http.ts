// HTTP requests and answers about claim tickets. Agent runners are the clients.
import { z } from "zod";
import { SessionId } from "../ids.ts";
import { ProviderName } from "../providers/provider.ts";
import { LargeMetadata, SessionState, User } from "../sessions/session.ts";
import { ClaimId, ClaimState } from "./claim.ts";

export const ClaimParams = z.strictObject({ id: ClaimId });

/** Required by all claim routes. */
export const ServiceHeaders = z.looseObject({
  authorization: z
    .string()
    .optional()
    .describe("`Bearer` and a service JWT for the tenant of the claim ticket."),
});

const ClaimSummary = z
  .object({
    claimId: ClaimId,
    sessionId: SessionId,
    attempt: z.int(),
    profile: z.string(),
    provider: ProviderName,
    room: z.string(),
    identity: z.string(),
    traceId: z.string(),
    state: ClaimState,
    claimedBy: z.string().nullable().describe("The subject of the service JWT that claimed it."),
    reason: z.string().nullable(),
    expiresAt: z.string().describe("Approximate expiry of an unclaimed ticket, for people."),
  })
  .meta({ id: "Claim" });

export const ClaimStatusAnswer = z
  .object({ success: z.literal(true), ...ClaimSummary.shape })
  .meta({ id: "ClaimStatusAnswer" });

export const ClaimRequest = z
  .strictObject({
    nonce: z
      .string()
      .regex(/^[A-Za-z0-9_-]{16,128}$/, 'A nonce is 16 to 128 letters, digits, "-" and "_"')
      .describe(
        "A random value chosen by the caller. If the answer is lost, repeat the claim with the same nonce within half a minute.",
      ),
  })
  .meta({ id: "ClaimRequest" });

export const ClaimAnswer = z
  .object({
    success: z.literal(true),
    claimId: ClaimId,
    sessionId: SessionId,
    attempt: z.int(),
    profile: z.string(),
    url: z.string().describe("Address of LiveKit."),
    token: z.string().describe("The agent's room token. Valid for one join, immediately."),
    expiresIn: z.int().describe("Seconds in which the token must be used."),
    room: z.string(),
    identity: z.string(),
    user: User,
    metadata: LargeMetadata,
    recovering: z.boolean().describe("True if the user is in the room and the previous agent was lost."),
  })
  .meta({ id: "ClaimAnswer" });
export type ClaimAnswer = z.infer<typeof ClaimAnswer>;

const tookMs = z
  .number()
  .min(0)
  .max(24 * 60 * 60 * 1000)
  .optional()
  .describe("Time in ms since the launch request, by the runner's clock.");

export const ArrivalReport = z.strictObject({ tookMs }).meta({ id: "ArrivalReport" });

const ReasonText = z.string().max(2000);

export const EndReport = z
  .strictObject({
    reason: ReasonText.optional().describe("The reason as text, for the session's history."),
    error: ReasonText.optional().describe("The error if the agent failed. The session is then retried."),
    retryable: z.boolean().default(true).describe("False for an error that would occur again."),
    userLeft: z.boolean().default(false).describe("True if the agent ended because the user left."),
  })
  .meta({ id: "EndReport" });
export type EndReport = z.infer<typeof EndReport>;

export const ReportAnswer = z
  .object({
    success: z.literal(true),
    sessionId: SessionId,
    attempt: z.int(),
    state: SessionState.describe(
      "The state when the report arrived. The effect of the report is visible a moment later.",
    ),
  })
  .meta({ id: "ReportAnswer" });
