// Claims a dispatch: the one way in which an agent runner gets a token, and it gets it once.
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
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import { type Claim, claimedRecord, decideClaim } from "./decide-claim.ts";

/** It is for one join, now; LiveKit renews it while the agent is connected. */
const TOKEN_TTL_S = 60;
/** Whoever lost a race finds at its next look that somebody has won it. */
const MAX_RACES = 10;

const codeOf: Record<ClaimRefusal, ErrorCode> = {
  expired: "claim_expired",
  used: "claim_used",
  over: "claim_over",
};

/**
 * Read, decide, save, and only then make the token. It is stored nowhere: a claim whose answer was lost is known by its
 * nonce and gets a new one, until the providers service has seen the claim stand for long enough.
 *
 * @throws GreenroomError not_found, claim_expired, claim_used, claim_over, livekit_unavailable
 */
export async function takeClaim(
  gateway: Gateway,
  caller: ServiceCaller,
  claimId: string,
  nonce: string,
): Promise<ClaimAnswer> {
  requireLiveKit(gateway.livekit); // Before anything is used up.
  const claim = { by: caller.subject, nonceHash: sha256([caller.tenant, claimId, nonce]).toString("hex") };
  for (let race = 0; race < MAX_RACES; race++) {
    const entry = await requireClaim(gateway, caller, claimId);
    const dispatch = entry.value;
    const verdict = decideClaim(dispatch, await recordOf(gateway, dispatch), claim);
    if ("refuse" in verdict) throw refused(gateway, dispatch, verdict.refuse, verdict.reason);
    if (verdict.give === "first" && !(await save(gateway, entry, claim))) continue;
    return await answerClaim(gateway, dispatch, verdict.record);
  }
  throw new GreenroomError("storage_unavailable", `claiming ${claimId}: others write to it all the time.`);
}

/** @throws GreenroomError not_found: also for another tenant's, of which nobody learns whether it exists */
export async function requireClaim(
  gateway: Gateway,
  caller: ServiceCaller,
  claimId: string,
): Promise<Entry<ClaimRecord>> {
  const entry = await gateway.bus.kv.get(claims, claimKey(caller.tenant, claimId));
  if (entry !== undefined) return entry;
  throw new GreenroomError(
    "not_found",
    `The tenant "${caller.tenant}" has no dispatch "${claimId}". It may have been removed: that is done some time after its attempt.`,
  );
}

/** From its bucket: the gateway's own view may be behind, and the record is what fences. */
export async function recordOf(gateway: Gateway, session: SessionRef): Promise<SessionRecord | undefined> {
  return (await gateway.bus.kv.get(sessions, sessionKey(session)))?.value;
}

/** @returns false when somebody else was faster */
async function save(gateway: Gateway, { value, revision }: Entry<ClaimRecord>, claim: Claim) {
  const claimed = claimedRecord(value, claim, isoNow(gateway.clock), `${gateway.instance}:${randomUUID()}`);
  if ((await gateway.bus.kv.update(claims, claimed, revision)) === undefined) return false;
  gateway.log.info(
    { sessionId: value.sessionId, dispatch: value.claimId, by: claim.by },
    "a dispatch is claimed",
  );
  return true;
}

async function answerClaim(
  gateway: Gateway,
  dispatch: ClaimRecord,
  record: SessionRecord,
): Promise<ClaimAnswer> {
  const { tokens, publicUrl } = requireLiveKit(gateway.livekit);
  const { room, identity, profile } = dispatch;
  return {
    success: true,
    claimId: dispatch.claimId,
    sessionId: record.sessionId,
    attempt: dispatch.attempt,
    profile,
    url: publicUrl,
    token: await tokens.forAgent({ room, identity, name: profile, ttlS: TOKEN_TTL_S }),
    expiresIn: TOKEN_TTL_S,
    room,
    identity,
    user: record.user,
    metadata: record.metadata,
    recovering: record.recovering,
  };
}

function refused(
  gateway: Gateway,
  dispatch: ClaimRecord,
  refusal: ClaimRefusal,
  message: string,
): GreenroomError {
  gateway.log.info(
    { sessionId: dispatch.sessionId, claim: dispatch.claimId, reason: refusal },
    "a claim is refused",
  );
  // For others to know; whether it could be told changes nothing for the caller.
  void gateway.bus.streams
    .publish(handoffEvents, {
      ...claimEventFields(dispatch, isoNow(gateway.clock)),
      type: "dispatch_claim_failed",
      reason: refusal,
      message,
    })
    .catch((error: unknown) => gateway.log.warn({ error }, "that a claim was refused could not be told"));
  return new SessionError(
    dispatch.sessionId,
    codeOf[refusal],
    `The claim "${dispatch.claimId}": ${message}.`,
  );
}
