// Offers an attempt to be claimed, and takes the offer back: the only writers of a dispatch but for the claim.

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
  /** How long from now it may be claimed, in ms; for people. */
  readonly claimMs: number;
}

const WHY_MAX = 480;
const MAX_RACES = 10;
let writes = 0;

const marks = ({ clock, instance }: OfferDeps) => ({
  at: isoNow(clock),
  writeId: `${instance}:dispatch:${++writes}`,
});

/** @returns the dispatch as it stands: an attempt is offered once, however often this is called, and by whomever */
export async function offerClaim(deps: OfferDeps, offer: Offer): Promise<ClaimRecord> {
  const { sessionId, profile, room } = offer;
  const dispatch: ClaimRecord = {
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
    ...marks(deps),
  };
  if ((await deps.bus.kv.update(claims, dispatch, 0)) !== undefined) return dispatch;
  const present = await readClaim(deps.bus, offer);
  if (present !== undefined) return present.value;
  throw new GreenroomError("storage_unavailable", `offering ${dispatch.claimId}: it was there, and is gone.`);
}

export const readClaim = (bus: Bus, ref: AttemptRef) =>
  bus.kv.get(claims, claimKey(ref.tenant, claimIdOf(ref)));

/**
 * Sees to it that nobody can claim an attempt (any more).
 * @returns how it stands then: a claim that was faster has been answered, and its runner may be in the room
 */
export async function withdrawClaim(
  deps: OfferDeps,
  ref: AttemptRef,
  reason: string,
): Promise<ClaimRecord | undefined> {
  for (let race = 0; race < MAX_RACES; race++) {
    const entry = await readClaim(deps.bus, ref);
    if (entry === undefined || entry.value.state !== "offered") return entry?.value;
    const expired = settledAs(deps, entry.value, "expired", reason);
    if ((await deps.bus.kv.update(claims, expired, entry.revision)) !== undefined) return expired;
  }
  throw new GreenroomError(
    "storage_unavailable",
    `withdrawing ${claimIdOf(ref)}: others write to it all the time.`,
  );
}

/** A dispatch that gives no token any more. */
export const settledAs = (
  deps: OfferDeps,
  dispatch: ClaimRecord,
  state: "expired" | "used",
  reason: string | undefined,
): ClaimRecord => ({
  ...dispatch,
  state,
  ...(reason === undefined ? {} : { reason: reason.slice(0, WHY_MAX) }),
  ...marks(deps),
});
