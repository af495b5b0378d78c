// HTTP requests and answers about claim tickets. Agent runners are the clients.
import { z } from "zod";
import { SessionId } from "../ids.ts";
import { ProviderName } from "../providers/provider.ts";
import { Metadata, SessionState, User } from "../sessions/session.ts";
import { ClaimId, ClaimState } from "./claim.ts";

export const ClaimParams = z.strictObject({ id: ClaimId });

/** Required by all claim routes. */
export const ServiceHeaders = z.looseObject({
  authorization: z.string().optional().describe("Bearer, and a service JWT of the dispatch's tenant."),
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
    expiresAt: z.string().describe("About when it expires unclaimed; for people."),
  })
  .meta({ id: "Dispatch" });

export const ClaimStatusAnswer = z
  .object({ success: z.literal(true), ...ClaimSummary.shape })
  .meta({ id: "DispatchAnswer" });

export const ClaimRequest = z
  .strictObject({
    nonce: z
      .string()
      .regex(/^[A-Za-z0-9_-]{16,128}$/, 'A nonce is 16 to 128 letters, digits, "-" and "_"')
      .describe(
        "Made up by the caller for this claim. A claim whose answer was lost is repeated with the same nonce, within half a minute.",
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
    url: z.string().describe("LiveKit's address."),
    token: z.string().describe("The agent's token for the room. It is for one join, now."),
    expiresIn: z.int().describe("Seconds in which the token must be used."),
    room: z.string(),
    identity: z.string(),
    user: User,
    metadata: Metadata,
    recovering: z.boolean().describe("True when the user is in the room and was left by another agent."),
  })
  .meta({ id: "ClaimAnswer" });
export type ClaimAnswer = z.infer<typeof ClaimAnswer>;

const tookMs = z
  .number()
  .min(0)
  .max(24 * 60 * 60 * 1000)
  .optional()
  .describe("How long it took since the launch, on the runner's own clock.");

export const ArrivalReport = z.strictObject({ tookMs }).meta({ id: "ArrivalReport" });

const ReasonText = z.string().max(2000);

export const EndReport = z
  .strictObject({
    reason: ReasonText.optional().describe("In words, for the session's history."),
    error: ReasonText.optional().describe("Set when the agent failed: then the session is tried again."),
    retryable: z.boolean().default(true).describe("False for an error that would only happen again."),
    userLeft: z.boolean().default(false).describe("True when it ended because the user left."),
  })
  .meta({ id: "EndReport" });
export type EndReport = z.infer<typeof EndReport>;

export const ReportAnswer = z
  .object({
    success: z.literal(true),
    sessionId: SessionId,
    attempt: z.int(),
    state: SessionState.describe("As it was when the report came: the report itself shows a moment later."),
  })
  .meta({ id: "ReportAnswer" });
