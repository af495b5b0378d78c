// Keeps the dispatches: expires what nobody claims, closes what was claimed, removes what is over.
import type { Stop } from "../../../libs/bus/bus.ts";
import { claims } from "../../../libs/contracts/buckets.ts";
import type { ClaimRecord } from "../../../libs/contracts/claims/claim.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import { repeat } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { type OfferDeps, settledAs } from "./claim-offers.ts";
import { type ClaimLimits, type Due, decideExpiry, endReason } from "./decide-expiry.ts";

export interface ClaimManagerDeps extends OfferDeps {
  readonly log: Log;
  readonly sessions: Pick<SessionView, "get">;
  readonly livekit: LiveKit | undefined;
  readonly limits: ClaimLimits;
}

interface Seen {
  readonly dispatch: ClaimRecord;
  readonly revision: number;
  /** When this process first saw this revision, and that it was claimed, on its monotonic clock. */
  readonly sinceMs: number;
  readonly claimedSinceMs: number | undefined;
  /** Since when its attempt is known to be over. */
  overSinceMs: number | undefined;
  putOutAtMs: number;
}

const TICK_MS = 500;
/** How long a claim's token may still open the door: its own time, what LiveKit adds, and some seconds. */
const TOKEN_MS = 130_000;
const PUT_OUT_MS = 2000;

/** Several instances may do this at once: each change is a compare-and-set, and the rest is harmless when repeated. */
export async function manageClaims(deps: ClaimManagerDeps): Promise<{ stop: Stop }> {
  const keeper = new ClaimManager(deps);
  const stopWatching = await deps.bus.kv.watch(claims, ({ key, value, revision }) =>
    keeper.see(key, value, revision),
  );
  const stopTicking = repeat(
    deps.clock,
    TICK_MS,
    () => keeper.tick(),
    (error) => deps.log.warn({ error }, "looking at dispatches failed; it is tried again"),
  );
  return {
    async stop() {
      stopTicking();
      await stopWatching();
    },
  };
}

class ClaimManager {
  readonly #deps: ClaimManagerDeps;
  readonly #seen = new Map<string, Seen>();

  constructor(deps: ClaimManagerDeps) {
    this.#deps = deps;
  }

  see(key: string, dispatch: ClaimRecord | undefined, revision: number): void {
    const known = this.#seen.get(key);
    if (known !== undefined && known.revision >= revision) return;
    if (dispatch === undefined) {
      this.#seen.delete(key);
      return;
    }
    const now = this.#deps.clock.monotonic();
    const claimedSinceMs = dispatch.claimedBy === undefined ? undefined : (known?.claimedSinceMs ?? now);
    this.#seen.set(key, {
      dispatch,
      revision,
      sinceMs: now,
      claimedSinceMs,
      overSinceMs: known?.overSinceMs,
      putOutAtMs: Number.NEGATIVE_INFINITY,
    });
  }

  async tick(): Promise<void> {
    for (const [key, seen] of [...this.#seen]) {
      try {
        await this.#look(key, seen);
      } catch (error) {
        // What could not be done to one is no reason to leave the others.
        this.#deps.log.debug({ key, reason: messageOf(error) }, "a dispatch is looked at again");
      }
    }
  }

  async #look(key: string, seen: Seen): Promise<void> {
    const { clock, limits, sessions } = this.#deps;
    const { dispatch } = seen;
    const now = clock.monotonic();
    const ageMs = now - seen.sinceMs;
    const record = sessions.get(dispatch.tenant, dispatch.sessionId)?.record;
    const reason = endReason(dispatch, record, ageMs >= limits.keepMs);
    if (reason !== undefined) seen.overSinceMs ??= now;
    const over = reason === undefined ? undefined : { reason, forMs: now - (seen.overSinceMs ?? now) };
    const due = decideExpiry(dispatch, { ageMs, ...(over === undefined ? {} : { over }) }, limits);
    if (due !== undefined) await this.#settle(key, seen, due);
    if (record !== undefined && mayStillCome(dispatch, record)) this.#putOut(seen);
  }

  async #settle(key: string, { dispatch, revision }: Seen, due: Due): Promise<void> {
    const { bus, log } = this.#deps;
    if (due.become === "removed") {
      if (await bus.kv.delete(claims, key, revision)) log.debug({ dispatch: key }, "a dispatch is removed");
      return;
    }
    const settled = settledAs(this.#deps, dispatch, due.become, due.reason);
    if ((await bus.kv.update(claims, settled, revision)) === undefined) return; // Somebody was faster.
    if (due.become === "expired")
      log.info(
        { sessionId: dispatch.sessionId, dispatch: dispatch.claimId, reason: due.reason },
        "a dispatch has expired",
      );
  }

  /** For as long as its token opens the door. */
  #putOut(seen: Seen): void {
    const { clock, livekit, log } = this.#deps;
    const { claimedSinceMs, dispatch } = seen;
    const now = clock.monotonic();
    if (livekit === undefined || claimedSinceMs === undefined || now - claimedSinceMs > TOKEN_MS) return;
    if (now - seen.putOutAtMs < PUT_OUT_MS) return;
    seen.putOutAtMs = now;
    livekit.rooms.remove(dispatch.room, dispatch.identity).catch((error: unknown) => {
      log.debug(
        { dispatch: dispatch.claimId, reason: messageOf(error) },
        "a late agent could not be looked for",
      );
    });
  }
}

/**
 * Whether a runner that claimed was on its way when its session went on without it: it was not in the room yet when
 * the dispatcher put it out.
 */
const mayStillCome = (dispatch: ClaimRecord, record: SessionRecord): boolean =>
  endReason(dispatch, record, false) !== undefined &&
  !record.history.some(
    ({ attempt, state }) => attempt === dispatch.attempt && (state === "joined" || state === "ready"),
  );
