// Offers an attempt to be claimed, and takes the offer back: the only writers of a dispatch but for the claim.

import type { z } from "zod";
import type { Bus } from "../../libs/bus/bus.ts";
import { dispatches } from "../../libs/contracts/buckets.ts";
import {
  type DispatchRecord,
  dispatchIdOf,
  dispatchKey,
  HANDOFF_PREFIX,
  HandoffOrigin,
} from "../../libs/contracts/claims/claim.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import { agentIdentityOf } from "../../libs/contracts/ids.ts";
import type { Metadata } from "../../libs/contracts/sessions/session.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

export interface OfferDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly instance: string;
}

export interface Offer {
  readonly tenant: string;
  readonly session: string;
  readonly attempt: number;
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
  opId: `${instance}:dispatch:${++writes}`,
});

/** @returns the dispatch as it stands: an attempt is offered once, however often this is called, and by whomever */
export async function offerDispatch(deps: OfferDeps, offer: Offer): Promise<DispatchRecord> {
  const { tenant, session, attempt, profile, room } = offer;
  const dispatch: DispatchRecord = {
    v: 1,
    id: dispatchIdOf(session, attempt),
    tenant,
    session,
    attempt,
    provider: "webhook",
    profile,
    room,
    identity: agentIdentityOf(session, attempt),
    traceId: originOf(session, offer.metadata)?.trace_id ?? session,
    state: "offered",
    expiresAt: new Date(deps.clock.now() + offer.claimMs).toISOString(),
    ...marks(deps),
  };
  if ((await deps.bus.save(dispatches, dispatch, 0)) !== undefined) return dispatch;
  const present = await readDispatch(deps.bus, tenant, session, attempt);
  if (present !== undefined) return present.value;
  throw new GreenroomError("storage_unavailable", `offering ${dispatch.id}: it was there, and is gone.`);
}

export const readDispatch = (bus: Bus, tenant: string, session: string, attempt: number) =>
  bus.read(dispatches, dispatchKey(tenant, dispatchIdOf(session, attempt)));

/**
 * Sees to it that nobody can claim an attempt (any more).
 * @returns how it stands then: a claim that was faster has been answered, and its runner may be in the room
 */
export async function withdrawDispatch(
  deps: OfferDeps,
  { tenant, session, attempt }: Pick<Offer, "tenant" | "session" | "attempt">,
  why: string,
): Promise<DispatchRecord | undefined> {
  for (let race = 0; race < MAX_RACES; race++) {
    const entry = await readDispatch(deps.bus, tenant, session, attempt);
    if (entry === undefined || entry.value.state !== "offered") return entry?.value;
    const expired = settledAs(deps, entry.value, "expired", why);
    if ((await deps.bus.save(dispatches, expired, entry.revision)) !== undefined) return expired;
  }
  throw new GreenroomError(
    "storage_unavailable",
    `withdrawing ${dispatchIdOf(session, attempt)}: others write to it all the time.`,
  );
}

/** A dispatch that gives no token any more. */
export const settledAs = (
  deps: OfferDeps,
  dispatch: DispatchRecord,
  state: "expired" | "used",
  why: string | undefined,
): DispatchRecord => ({
  ...dispatch,
  state,
  ...(why === undefined ? {} : { why: why.slice(0, WHY_MAX) }),
  ...marks(deps),
});

/** The call that a session was handed over for; undefined for one that wasn't. */
export function originOf(session: string, metadata: z.infer<typeof Metadata>): HandoffOrigin | undefined {
  if (!session.startsWith(HANDOFF_PREFIX)) return undefined;
  return HandoffOrigin.safeParse(metadata.handoff).data;
}
