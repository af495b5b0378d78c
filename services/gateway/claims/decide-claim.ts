// Whether a claim gets its token: a pure decision over the dispatch and its session's record.
import type { ClaimRecord, ClaimRefusal } from "../../../libs/contracts/claims/claim.ts";
import { isExternal, providerHostOf } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";

export interface Claim {
  readonly by: string;
  readonly nonceHash: string;
}

export type ClaimVerdict =
  /** It is the first: `claim` is to be saved, and only then a token to be made. */
  | { readonly give: "first"; readonly record: SessionRecord }
  /** The same claim again, whose answer was lost. */
  | { readonly give: "again"; readonly record: SessionRecord }
  | { readonly refuse: ClaimRefusal; readonly reason: string };

/**
 * No clock has a part in it: that an offer has expired, or that an answer must have arrived, was decided by a
 * providers service and is in the dispatch's state. And whatever that state is, the session's record must name the attempt.
 */
export function decideClaim(
  dispatch: ClaimRecord,
  record: SessionRecord | undefined,
  claim: Claim,
): ClaimVerdict {
  switch (dispatch.state) {
    case "expired":
      return { refuse: "expired", reason: dispatch.reason ?? "nobody claimed it in time" };
    case "used":
      return { refuse: "used", reason: `it was claimed by ${dispatch.claimedBy}, and gives one token` };
    case "claimed":
      if (dispatch.nonceHash !== claim.nonceHash || dispatch.claimedBy !== claim.by)
        return { refuse: "used", reason: `it was claimed by ${dispatch.claimedBy}, and gives one token` };
      return givenIfNamed(dispatch, record, "again");
    case "offered":
      return givenIfNamed(dispatch, record, "first");
  }
}

function givenIfNamed(
  dispatch: ClaimRecord,
  record: SessionRecord | undefined,
  give: "first" | "again",
): ClaimVerdict {
  const reason = endReason(dispatch, record);
  return reason === undefined && record !== undefined
    ? { give, record }
    : { refuse: "over", reason: reason ?? "there is no such session any more" };
}

/** Why a dispatch's attempt is over; undefined while the session's record names it. */
export function endReason(dispatch: ClaimRecord, record: SessionRecord | undefined): string | undefined {
  if (record === undefined) return "there is no such session any more";
  if (record.state === "ended") return `the session has ended: ${record.endedReason}`;
  if (record.attempt !== dispatch.attempt)
    return `the session goes on with attempt ${record.attempt}, and this was ${dispatch.attempt}`;
  const host = isExternal(dispatch.provider) ? providerHostOf(dispatch.provider) : undefined;
  return record.host === host ? undefined : "the session was given to somebody else";
}

/** The dispatch as it stands once the claim is saved. */
export const claimedRecord = (
  dispatch: ClaimRecord,
  claim: Claim,
  at: string,
  writeId: string,
): ClaimRecord => ({
  ...dispatch,
  state: "claimed",
  claimedBy: claim.by,
  nonceHash: claim.nonceHash,
  at,
  writeId,
});
