// Handoffs from other systems, claim tickets for agent runners, and the events about both.
import { z } from "zod";
import { type AttemptRef, attemptFields, ProfileName, SessionId, Tenant } from "../ids.ts";
import { ProviderName } from "../providers/provider.ts";
import { Metadata } from "../sessions/session.ts";

/** Text without control characters, which would corrupt logs and headers. */
const text = (what: string, max: number) =>
  z
    .string()
    .min(1, `${what} may not be empty`)
    .max(max, `${what} may be ${max} characters long at most`)
    .regex(/^\P{Cc}*$/u, `${what} may not hold control characters`);

export const TraceId = text("A trace id", 128);

/**
 * `runtime.handoff_requested`: another system requests an agent for a room. Each field is validated, since the message
 * comes from outside. Unknown fields are ignored.
 */
export const HandoffRequested = z.object({
  version: z.literal(1),
  trace_id: TraceId,
  tenant_id: Tenant,
  /** The profile, or the agent runner's own name for the agent. */
  agent_id: ProfileName,
  room: text("A room name", 128),
  call_id: text("A call id", 128).optional(),
  metadata: Metadata.optional(),
});
export type HandoffRequested = z.infer<typeof HandoffRequested>;

/** Stored in a session's metadata under `handoff`, so the agent and all events can name the call. */
export const HandoffOrigin = z.object({ trace_id: TraceId, call_id: z.string().optional() });
export type HandoffOrigin = z.infer<typeof HandoffOrigin>;

/** Prefix of session ids that handoffs create. No other session id has it. */
export const HANDOFF_PREFIX = "h_";

/** The call behind a session that a handoff created; undefined for any other session. */
export function originOf(sessionId: string, metadata: z.infer<typeof Metadata>): HandoffOrigin | undefined {
  if (!sessionId.startsWith(HANDOFF_PREFIX)) return undefined;
  return HandoffOrigin.safeParse(metadata.handoff).data;
}

/** Derived from session id and attempt, so it is unique and both can be read from it. */
export const claimIdOf = ({ sessionId, attempt }: Omit<AttemptRef, "tenant">): string =>
  `${sessionId}-${attempt}`;

export const ClaimId = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/, 'A claim id may hold letters, digits, "-" and "_" only')
  .max(80, "A claim id may be 80 characters long at most");

export const ClaimState = z.enum(["offered", "claimed", "used", "expired"]);
export type ClaimState = z.infer<typeof ClaimState>;

/**
 * A claim ticket: the offer to serve one attempt of a session. The first runner to claim it gets the room's token.
 *
 * The token is issued at the claim and stored nowhere. The session record fences the ticket: a claim fails if the
 * record names another attempt, whatever is stored here.
 */
export const ClaimRecord = z.object({
  v: z.literal(1),
  claimId: ClaimId,
  ...attemptFields,
  provider: ProviderName,
  profile: ProfileName,
  room: z.string(),
  /** The agent's identity in the room. */
  identity: z.string(),
  traceId: TraceId,
  /**
   * `offered → claimed → used`, or `offered → expired`. While `claimed`, the same claim can be repeated with its nonce.
   * It becomes `used` once its answer must have arrived.
   */
  state: ClaimState,
  /** Subject of the service JWT that claimed the ticket, and the SHA-256 of its nonce. */
  claimedBy: z.string().optional(),
  nonceHash: z.string().optional(),
  reason: z.string().max(480).optional(),
  /** ISO times, from the clock of the service that wrote them. For display only. */
  expiresAt: z.string(),
  at: z.string(),
  writeId: z.string(),
});
export type ClaimRecord = z.infer<typeof ClaimRecord>;

export const claimKey = (tenant: string, id: string): string => `${tenant}.${id}`;

const common = {
  version: z.literal(1),
  at: z.string(),
  trace_id: TraceId,
  tenant_id: Tenant,
};
const ofSession = {
  ...common,
  session_id: SessionId,
  attempt: z.number().int().positive(),
  agent_id: ProfileName,
  room: z.string(),
  provider: ProviderName,
};
/** Present if an agent runner serves the session. */
const ofOptionalClaim = { dispatch_id: ClaimId.optional(), dispatch_expires_at: z.string().optional() };
const ofClaim = { ...ofSession, dispatch_id: ClaimId, dispatch_expires_at: z.string() };

/** Why a claim failed, or why no claim is possible any more. */
export const ClaimRefusal = z.enum(["expired", "used", "over"]);
export type ClaimRefusal = z.infer<typeof ClaimRefusal>;

/**
 * Events for other systems about handoffs and claims, on `runtime.<type>`. Greenroom decides nothing by them, and they
 * contain no tokens.
 */
export const HandoffEvent = z.discriminatedUnion("type", [
  /** The session and its room exist, and an agent was requested. An agent runner can claim it now. */
  z.object({ ...ofSession, ...ofOptionalClaim, type: z.literal("handoff_dispatched") }),
  /** The handoff failed before an agent was requested. */
  z.object({
    ...common,
    type: z.literal("handoff_failed"),
    session_id: SessionId,
    agent_id: ProfileName,
    room: z.string(),
    reason: z.string(),
    message: z.string(),
  }),
  z.object({
    ...common,
    type: z.literal("handoff_invalid_payload"),
    /** Present if they could be read. */
    trace_id: TraceId.optional(),
    tenant_id: Tenant.optional(),
    /** The message's sequence in the stream HANDOFFS. */
    sequence: z.number().int(),
    message: z.string(),
  }),
  z.object({ ...ofClaim, type: z.literal("dispatch_claimed"), claimed_by: z.string() }),
  z.object({
    ...ofClaim,
    type: z.literal("dispatch_claim_failed"),
    reason: ClaimRefusal,
    message: z.string(),
  }),
  /** The agent has joined the room. */
  z.object({ ...ofSession, ...ofOptionalClaim, type: z.literal("agent_session_bootstrap_ready") }),
  /** The agent is ready. */
  z.object({ ...ofSession, ...ofOptionalClaim, type: z.literal("agent_session_launch_succeeded") }),
  /** An attempt ended before its agent was ready. `final`: no further attempt follows. */
  z.object({
    ...ofSession,
    ...ofOptionalClaim,
    type: z.literal("agent_session_launch_failed"),
    reason: z.string(),
    message: z.string(),
    final: z.boolean(),
  }),
]);
export type HandoffEvent = z.infer<typeof HandoffEvent>;

/** The fields that all events about a claim share. */
export const claimEventFields = (claim: ClaimRecord, at: string) => ({
  version: 1 as const,
  at,
  trace_id: claim.traceId,
  tenant_id: claim.tenant,
  session_id: claim.sessionId,
  attempt: claim.attempt,
  agent_id: claim.profile,
  room: claim.room,
  provider: claim.provider,
  dispatch_id: claim.claimId,
  dispatch_expires_at: claim.expiresAt,
});

/** Equal for repeated publications of the same event. */
export function handoffEventId(event: HandoffEvent): string {
  switch (event.type) {
    case "handoff_invalid_payload":
      return `${event.type}.${event.sequence}`;
    case "handoff_failed":
      return `${event.tenant_id}.${event.session_id}.${event.type}`;
    case "dispatch_claim_failed":
      return `${event.tenant_id}.${event.dispatch_id}.${event.type}.${event.reason}`;
    default:
      return `${event.tenant_id}.${event.session_id}.${event.attempt}.${event.type}`;
  }
}
