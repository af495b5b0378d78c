// Agents that others run: the handoff that asks for one, the dispatch by which it is claimed, and what is told of both.
import { z } from "zod";
import { type AttemptRef, attemptFields, ProfileName, SessionId, Tenant } from "../ids.ts";
import { ProviderName } from "../providers/provider.ts";
import { Metadata } from "../sessions/session.ts";

/** Without control characters, which would garble logs and headers. */
const text = (what: string, max: number) =>
  z
    .string()
    .min(1, `${what} may not be empty`)
    .max(max, `${what} may be ${max} characters long at most`)
    .regex(/^\P{Cc}*$/u, `${what} may not hold control characters`);

export const TraceId = text("A trace id", 128);

/**
 * `runtime.handoff_requested`: a room wants an agent. Said by other systems, so that it is checked field by field;
 * what it holds besides is ignored.
 */
export const HandoffRequested = z.object({
  version: z.literal(1),
  trace_id: TraceId,
  tenant_id: Tenant,
  /** The profile, or what the agent runner calls its agent. */
  agent_id: ProfileName,
  room: text("A room name", 128),
  call_id: text("A call id", 128).optional(),
  metadata: Metadata.optional(),
});
export type HandoffRequested = z.infer<typeof HandoffRequested>;

/** What a session's metadata hold under `handoff`, so that its agent and everything told of it know the call. */
export const HandoffOrigin = z.object({ trace_id: TraceId, call_id: z.string().optional() });
export type HandoffOrigin = z.infer<typeof HandoffOrigin>;

/** The sessions that a handoff asked for have ids that begin so; nobody else gives such ones. */
export const HANDOFF_PREFIX = "h_";

/** The call that a session was handed over for; undefined for a session that was not. */
export function originOf(sessionId: string, metadata: z.infer<typeof Metadata>): HandoffOrigin | undefined {
  if (!sessionId.startsWith(HANDOFF_PREFIX)) return undefined;
  return HandoffOrigin.safeParse(metadata.handoff).data;
}

/** The session and the attempt can be read off it, and nothing else can have the same. */
export const claimIdOf = ({ sessionId, attempt }: Omit<AttemptRef, "tenant">): string =>
  `${sessionId}-${attempt}`;

export const ClaimId = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/, 'A dispatch id may hold letters, digits, "-" and "_" only')
  .max(80, "A dispatch id may be 80 characters long at most");

export const ClaimState = z.enum(["offered", "claimed", "used", "expired"]);
export type ClaimState = z.infer<typeof ClaimState>;

/**
 * The offer to serve one attempt of a session: whoever claims it first gets the token for its room.
 *
 * The token is made at the claim and is stored nowhere. The session's record fences it: nobody gets a token for an
 * attempt that the record doesn't name (any more), whatever is written here.
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
   * `offered → claimed → used`, or `offered → expired`. `claimed` becomes `used` when the claim's answer must have
   * arrived: until then the same claim, known by its nonce, is answered again.
   */
  state: ClaimState,
  /** The subject of the service JWT that claimed it, and the SHA-256 of its nonce. */
  claimedBy: z.string().optional(),
  nonceHash: z.string().optional(),
  reason: z.string().max(480).optional(),
  /** ISO times on the clock of who wrote them; for people. */
  expiresAt: z.string(),
  at: z.string(),
  writeId: z.string(),
});
export type ClaimRecord = z.infer<typeof ClaimRecord>;

export const claimKey = (tenant: string, id: string): string => `${tenant}.${id}`;

const told = {
  version: z.literal(1),
  at: z.string(),
  trace_id: TraceId,
  tenant_id: Tenant,
};
const ofSession = {
  ...told,
  session_id: SessionId,
  attempt: z.number().int().positive(),
  agent_id: ProfileName,
  room: z.string(),
  provider: ProviderName,
};
/** Where the agent is somebody else's, who claims it. */
const byClaim = { dispatch_id: ClaimId.optional(), dispatch_expires_at: z.string().optional() };
const ofDispatch = { ...ofSession, dispatch_id: ClaimId, dispatch_expires_at: z.string() };

/** Why a claim was refused, or why none can come any more. */
export const ClaimRefusal = z.enum(["expired", "used", "over"]);
export type ClaimRefusal = z.infer<typeof ClaimRefusal>;

/**
 * What is told about handoffs and dispatches on `runtime.<type>`, to other systems. Nothing in here decides anything,
 * and nothing in here is a token.
 */
export const HandoffEvent = z.discriminatedUnion("type", [
  /** It is a session, its room is there, and an agent was asked for; with an agent runner it can be claimed now. */
  z.object({ ...ofSession, ...byClaim, type: z.literal("handoff_dispatched") }),
  /** It came to nothing before any agent was asked for. */
  z.object({
    ...told,
    type: z.literal("handoff_failed"),
    session_id: SessionId,
    agent_id: ProfileName,
    room: z.string(),
    reason: z.string(),
    message: z.string(),
  }),
  z.object({
    ...told,
    type: z.literal("handoff_invalid_payload"),
    /** As far as they could be read. */
    trace_id: TraceId.optional(),
    tenant_id: Tenant.optional(),
    /** The message's place in the stream HANDOFFS. */
    sequence: z.number().int(),
    message: z.string(),
  }),
  z.object({ ...ofDispatch, type: z.literal("dispatch_claimed"), claimed_by: z.string() }),
  z.object({
    ...ofDispatch,
    type: z.literal("dispatch_claim_failed"),
    reason: ClaimRefusal,
    message: z.string(),
  }),
  /** The agent has joined its room. */
  z.object({ ...ofSession, ...byClaim, type: z.literal("agent_session_bootstrap_ready") }),
  /** The agent says that it is ready. */
  z.object({ ...ofSession, ...byClaim, type: z.literal("agent_session_launch_succeeded") }),
  /** An attempt ended before its agent was ready; `final`: there is no next one. */
  z.object({
    ...ofSession,
    ...byClaim,
    type: z.literal("agent_session_launch_failed"),
    reason: z.string(),
    message: z.string(),
    final: z.boolean(),
  }),
]);
export type HandoffEvent = z.infer<typeof HandoffEvent>;

/** What everything that is told of a dispatch says. */
export const claimEventFields = (dispatch: ClaimRecord, at: string) => ({
  version: 1 as const,
  at,
  trace_id: dispatch.traceId,
  tenant_id: dispatch.tenant,
  session_id: dispatch.sessionId,
  attempt: dispatch.attempt,
  agent_id: dispatch.profile,
  room: dispatch.room,
  provider: dispatch.provider,
  dispatch_id: dispatch.claimId,
  dispatch_expires_at: dispatch.expiresAt,
});

/** Equal for two tellings of the same thing. */
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
