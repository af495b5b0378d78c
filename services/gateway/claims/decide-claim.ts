// Decides whether a claim gets its token, from the claim ticket and the session's record. Pure.
import type { ClaimRecord, ClaimRefusal } from "../../../libs/contracts/claims/claim.ts";
import { isExternal, providerHostOf } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";

export interface Claim {
  readonly by: string;
  readonly nonceHash: string;
}

export type ClaimVerdict =
  /** The first claim. Persist it before you create a token. */
  | { readonly give: "first"; readonly record: SessionRecord }
  /** A repeat of the same claim, whose answer was lost. */
  | { readonly give: "again"; readonly record: SessionRecord }
  | { readonly refuse: ClaimRefusal; readonly reason: string };

/**
 * The decision uses no clock (I7). The providers service decides that an offer has expired or that an answer must have
 * arrived, and stores this in the ticket's state. In every state, the session's record must name the attempt.
 */
export function decideClaim(
  ticket: ClaimRecord,
  record: SessionRecord | undefined,
  claim: Claim,
): ClaimVerdict {
  switch (ticket.state) {
    case "expired":
      return { refuse: "expired", reason: ticket.reason ?? "nobody claimed it in time" };
    case "used":
      return { refuse: "used", reason: `${ticket.claimedBy} has already claimed it` };
    case "claimed":
      if (ticket.nonceHash !== claim.nonceHash || ticket.claimedBy !== claim.by)
        return { refuse: "used", reason: `${ticket.claimedBy} has already claimed it` };
      return givenIfNamed(ticket, record, "again");
    case "offered":
      return givenIfNamed(ticket, record, "first");
  }
}

function givenIfNamed(
  ticket: ClaimRecord,
  record: SessionRecord | undefined,
  give: "first" | "again",
): ClaimVerdict {
  const reason = endReason(ticket, record);
  return reason === undefined && record !== undefined
    ? { give, record }
    : { refuse: "over", reason: reason ?? "the session no longer exists" };
}

/** The reason why the attempt of a claim ticket has ended. Undefined while the session's record names the attempt. */
export function endReason(ticket: ClaimRecord, record: SessionRecord | undefined): string | undefined {
  if (record === undefined) return "the session no longer exists";
  if (record.state === "ended") return `the session has ended: ${record.endedReason}`;
  if (record.attempt !== ticket.attempt)
    return `the session continues with attempt ${record.attempt}; this was attempt ${ticket.attempt}`;
  const host = isExternal(ticket.provider) ? providerHostOf(ticket.provider) : undefined;
  return record.host === host ? undefined : "the session was assigned to another host";
}

/** The claim ticket after the claim. */
export const claimedRecord = (
  ticket: ClaimRecord,
  claim: Claim,
  at: string,
  writeId: string,
): ClaimRecord => ({
  ...ticket,
  state: "claimed",
  claimedBy: claim.by,
  nonceHash: claim.nonceHash,
  at,
  writeId,
});
