// Offers an attempt to agent runners, and withdraws the offer. Only the gateway writes a claim besides.
import type { z } from "zod";
import type { Bus } from "../../../libs/bus/bus.ts";
import { claims } from "../../../libs/contracts/buckets.ts";
import { type ClaimRecord, claimIdOf, claimKey, originOf } from "../../../libs/contracts/claims/claim.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { type AttemptRef, agentIdentityOf, attemptRefOf } from "../../../libs/contracts/ids.ts";
import type { Metadata } from "../../../libs/contracts/sessions/session.ts";
import { type Clock, isoNow } from "../../../libs/runtime/clock.ts";

export interface OfferDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly instance: string;
}

export interface Offer extends AttemptRef {
  readonly profile: string;
  readonly room: string;
  readonly metadata: z.infer<typeof Metadata>;
  /** How long a runner may claim it from now on, in ms. */
  readonly claimMs: number;
}

const REASON_MAX = 480;
const MAX_RACES = 10;
let writes = 0;

const stamp = ({ clock, instance }: OfferDeps) => ({
  at: isoNow(clock),
  writeId: `${instance}:claim:${++writes}`,
});

/** @returns the stored claim: an attempt is offered once, however many instances call this */
export async function offerClaim(deps: OfferDeps, offer: Offer): Promise<ClaimRecord> {
  const { sessionId, profile, room } = offer;
  const claim: ClaimRecord = {
    v: 1,
    claimId: claimIdOf(offer),
    ...attemptRefOf(offer),
    provider: "webhook",
    profile,
    room,
    identity: agentIdentityOf(offer),
    traceId: originOf(sessionId, offer.metadata)?.trace_id ?? sessionId,
    state: "offered",
    expiresAt: new Date(deps.clock.now() + offer.claimMs).toISOString(),
    ...stamp(deps),
  };
  if ((await deps.bus.kv.update(claims, claim, 0)) !== undefined) return claim;
  const present = await readClaim(deps.bus, offer);
  if (present !== undefined) return present.value;
  throw new GreenroomError(
    "storage_unavailable",
    `The claim ${claim.claimId} was removed while it was offered.`,
  );
}

export const readClaim = (bus: Bus, ref: AttemptRef) =>
  bus.kv.get(claims, claimKey(ref.tenant, claimIdOf(ref)));

/**
 * Makes sure that no runner can claim an attempt from now on.
 * @returns the stored claim: if a runner was faster, it has its token and may be in the room
 */
export async function withdrawClaim(
  deps: OfferDeps,
  ref: AttemptRef,
  reason: string,
): Promise<ClaimRecord | undefined> {
  for (let race = 0; race < MAX_RACES; race++) {
    const entry = await readClaim(deps.bus, ref);
    if (entry === undefined || entry.value.state !== "offered") return entry?.value;
    const expired = closed(deps, entry.value, "expired", reason);
    if ((await deps.bus.kv.update(claims, expired, entry.revision)) !== undefined) return expired;
  }
  throw new GreenroomError(
    "storage_unavailable",
    `Failed to withdraw the claim ${claimIdOf(ref)}: other writes were faster ${MAX_RACES} times.`,
  );
}

/** A claim that gives no token any more. */
export const closed = (
  deps: OfferDeps,
  claim: ClaimRecord,
  state: "expired" | "used",
  reason: string | undefined,
): ClaimRecord => ({
  ...claim,
  state,
  ...(reason === undefined ? {} : { reason: reason.slice(0, REASON_MAX) }),
  ...stamp(deps),
});
