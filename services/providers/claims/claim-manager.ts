// Expires claims that no runner takes, closes taken ones, and removes those whose attempt is over.
import { type Seen, watchBucket } from "../../../libs/bus/bucket-view.ts";
import type { Stop } from "../../../libs/bus/bus.ts";
import { claims } from "../../../libs/contracts/buckets.ts";
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import { repeat } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { closed, type OfferDeps } from "./claim-offers.ts";
import { type ClaimLimits, decideExpiry, endReason } from "./decide-expiry.ts";

export interface ClaimManagerDeps extends OfferDeps {
  readonly log: Log;
  readonly sessions: Pick<SessionView, "get">;
  readonly livekit: LiveKit | undefined;
  readonly limits: ClaimLimits;
}

/** Times are on this process's monotonic clock, in ms. */
interface Notes {
  /** When this process first saw that the claim was taken. */
  readonly claimedSinceMs: number | undefined;
  /** When this process learned that the attempt is over. */
  overSinceMs: number | undefined;
  evictedAtMs: number;
}
type SeenClaim = Seen<ClaimRecord, Notes>;

const TICK_MS = 500;
/** How long the token of a claim may open the room: its own lifetime, LiveKit's leeway, and some seconds. */
const TOKEN_MS = 130_000;
const EVICT_AGAIN_MS = 2000;

/** Several instances may run at once: each change is a compare-and-set, and the rest is harmless when repeated. */
export async function manageClaims(deps: ClaimManagerDeps): Promise<{ stop: Stop }> {
  const view = await watchBucket<ClaimRecord, Notes>(deps.bus, claims, deps.clock, {
    note: ({ claimedBy }, before, nowMs) => ({
      claimedSinceMs: claimedBy === undefined ? undefined : (before?.claimedSinceMs ?? nowMs),
      overSinceMs: before?.overSinceMs,
      evictedAtMs: Number.NEGATIVE_INFINITY,
    }),
  });
  const tick = async () => {
    for (const claim of view.all()) {
      // A failure with one claim must not delay the others.
      await look(deps, claim).catch((error: unknown) => {
        const fields = { key: claim.key, reason: messageOf(error), retrying: true };
        deps.log.debug(fields, "failed to look at a claim");
      });
    }
  };
  const stopTicking = repeat(deps.clock, TICK_MS, tick, (error) =>
    deps.log.warn({ error, retrying: true }, "failed to look at claims"),
  );
  return {
    async stop() {
      stopTicking();
      await view.stop();
    },
  };
}

async function look(deps: ClaimManagerDeps, claim: SeenClaim): Promise<void> {
  const { bus, clock, limits, log, sessions } = deps;
  const { key, record, revision } = claim;
  const now = clock.monotonic();
  const ageMs = now - claim.seenAtMs;
  const session = sessions.get(record.tenant, record.sessionId)?.record;
  const reason = endReason(record, session, ageMs >= limits.keepMs);
  if (reason !== undefined) claim.overSinceMs ??= now;
  const over = reason === undefined ? undefined : { reason, forMs: now - (claim.overSinceMs ?? now) };
  const due = decideExpiry(record, { ageMs, ...(over === undefined ? {} : { over }) }, limits);
  if (due?.become === "removed") {
    if (await bus.kv.delete(claims, key, revision)) log.debug({ claim: key }, "removed a claim");
  } else if (due !== undefined) {
    const saved = await bus.kv.update(claims, closed(deps, record, due.become, due.reason), revision);
    const { sessionId, claimId } = record;
    if (saved !== undefined && due.become === "expired")
      log.info({ sessionId, claim: claimId, reason: due.reason }, "a claim expired");
  }
  if (session !== undefined && mayStillJoin(record, session)) evictAgent(deps, claim);
}

/** Removes a late agent from the room for as long as its token opens the room. */
function evictAgent({ clock, livekit, log }: ClaimManagerDeps, claim: SeenClaim): void {
  const { claimedSinceMs, record } = claim;
  const now = clock.monotonic();
  if (livekit === undefined || claimedSinceMs === undefined || now - claimedSinceMs > TOKEN_MS) return;
  if (now - claim.evictedAtMs < EVICT_AGAIN_MS) return;
  claim.evictedAtMs = now;
  livekit.rooms.remove(record.room, record.identity).catch((error: unknown) => {
    const fields = { claim: record.claimId, reason: messageOf(error), retrying: true };
    log.debug(fields, "failed to evict a late agent");
  });
}

/**
 * Whether the session has moved on while the runner that took the claim was on its way. The dispatcher could not
 * evict an agent that had not joined yet.
 */
const mayStillJoin = (claim: ClaimRecord, session: SessionRecord): boolean =>
  endReason(claim, session, false) !== undefined &&
  !session.history.some(
    ({ attempt, state }) => attempt === claim.attempt && (state === "joined" || state === "ready"),
  );
