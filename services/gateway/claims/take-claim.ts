// Exchanges a claim ticket for a token, once. An agent runner has no other way to get a token.
import { randomUUID } from "node:crypto";
import type { ServiceCaller } from "../../../libs/auth/service-jwt.ts";
import type { Entry } from "../../../libs/bus/bus.ts";
import { claims, sessions } from "../../../libs/contracts/buckets.ts";
import {
  type ClaimRecord,
  type ClaimRefusal,
  claimEventFields,
  claimKey,
} from "../../../libs/contracts/claims/claim.ts";
import type { ClaimAnswer } from "../../../libs/contracts/claims/http.ts";
import { type ErrorCode, GreenroomError } from "../../../libs/contracts/errors.ts";
import { type SessionRef, sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { handoffEvents } from "../../../libs/contracts/streams.ts";
import { sha256 } from "../../../libs/domain/ids.ts";
import { metadataOf } from "../../../libs/fleet/stored-texts.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import { type Claim, claimedRecord, decideClaim } from "./decide-claim.ts";

/** Long enough for one immediate join. LiveKit renews the token while the agent is connected. */
const TOKEN_TTL_S = 60;
/** After a lost race, the next try finds the ticket claimed. */
const MAX_RACES = 10;

const codeOf: Record<ClaimRefusal, ErrorCode> = {
  expired: "claim_expired",
  used: "claim_used",
  over: "claim_over",
};

/**
 * Reads, decides, persists, and only then creates the token, which is not stored. A repeated claim with the same nonce
 * gets a new token, until the providers service marks the ticket as used.
 *
 * @throws GreenroomError not_found, claim_expired, claim_used, claim_over, livekit_unavailable
 */
export async function takeClaim(
  gateway: Gateway,
  caller: ServiceCaller,
  claimId: string,
  nonce: string,
): Promise<ClaimAnswer> {
  requireLiveKit(gateway.livekit); // Fails before the ticket is used.
  const claim = { by: caller.subject, nonceHash: sha256([caller.tenant, claimId, nonce]).toString("hex") };
  for (let race = 0; race < MAX_RACES; race++) {
    const entry = await requireClaim(gateway, caller, claimId);
    const ticket = entry.value;
    const verdict = decideClaim(ticket, await recordOf(gateway, ticket), claim);
    if ("refuse" in verdict) throw refused(gateway, ticket, verdict.refuse, verdict.reason);
    if (verdict.give === "first" && !(await save(gateway, entry, claim))) continue;
    return await answerClaim(gateway, ticket, verdict.record);
  }
  throw new GreenroomError(
    "storage_unavailable",
    `Failed to claim ${claimId}: too many concurrent writes. Retry the request.`,
  );
}

/** @throws GreenroomError not_found, also for a ticket of another tenant, so that its existence stays hidden */
export async function requireClaim(
  gateway: Gateway,
  caller: ServiceCaller,
  claimId: string,
): Promise<Entry<ClaimRecord>> {
  const entry = await gateway.bus.kv.get(claims, claimKey(caller.tenant, claimId));
  if (entry !== undefined) return entry;
  throw new GreenroomError(
    "not_found",
    `The tenant "${caller.tenant}" has no claim ticket "${claimId}". Tickets are deleted some time after their attempt.`,
  );
}

/** Reads the session from its bucket, because the gateway's view may be behind. */
export async function recordOf(gateway: Gateway, session: SessionRef): Promise<SessionRecord | undefined> {
  return (await gateway.bus.kv.get(sessions, sessionKey(session)))?.value;
}

/** @returns false when somebody else was faster */
async function save(gateway: Gateway, { value, revision }: Entry<ClaimRecord>, claim: Claim) {
  const claimed = claimedRecord(value, claim, isoNow(gateway.clock), `${gateway.instance}:${randomUUID()}`);
  if ((await gateway.bus.kv.update(claims, claimed, revision)) === undefined) return false;
  gateway.log.info({ sessionId: value.sessionId, claim: value.claimId, by: claim.by }, "session claimed");
  return true;
}

async function answerClaim(
  gateway: Gateway,
  ticket: ClaimRecord,
  record: SessionRecord,
): Promise<ClaimAnswer> {
  const { tokens, publicUrl } = requireLiveKit(gateway.livekit);
  const { room, identity, profile } = ticket;
  return {
    success: true,
    claimId: ticket.claimId,
    sessionId: record.sessionId,
    attempt: ticket.attempt,
    profile,
    url: publicUrl,
    token: await tokens.forAgent({ room, identity, name: profile, ttlS: TOKEN_TTL_S }),
    expiresIn: TOKEN_TTL_S,
    room,
    identity,
    user: record.user,
    metadata: await metadataOf(gateway.bus, record),
    recovering: record.recovering,
  };
}

function refused(
  gateway: Gateway,
  ticket: ClaimRecord,
  refusal: ClaimRefusal,
  message: string,
): GreenroomError {
  gateway.log.info({ sessionId: ticket.sessionId, claim: ticket.claimId, reason: refusal }, "claim refused");
  // Other systems are notified. A failure changes nothing for the caller.
  void gateway.bus.streams
    .publish(handoffEvents, {
      ...claimEventFields(ticket, isoNow(gateway.clock)),
      type: "dispatch_claim_failed",
      reason: refusal,
      message,
    })
    .catch((error: unknown) => gateway.log.warn({ error }, "failed to publish a refused claim"));
  return new SessionError(ticket.sessionId, codeOf[refusal], `Claim ticket "${ticket.claimId}": ${message}.`);
}
