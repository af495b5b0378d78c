// The wait queue: requests a retry for the sessions that have waited longest once agents are free.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { attemptRefOf } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import { queueKeyOf } from "../../libs/domain/capacity.ts";
import type { SeenSession, SessionView } from "../../libs/fleet/session-view.ts";
import { isoNow, repeat } from "../../libs/runtime/clock.ts";

interface Deps extends ServiceDeps {
  readonly sessions: SessionView;
  readonly freeFor: (record: SessionRecord) => number;
}

/** A session that still waits this long after its retry was requested gets another request. */
const REPEAT_MS = 1000;
/** Host updates may be lost. No session waits longer than this for the next check. */
const CHECK_MS = 1000;

/**
 * Publishes `retry_requested` for waiting sessions, the oldest first, for as many as there are free agents. It is a stored
 * event and not a function call: if a dispatcher dies while it handles the event, another one takes over.
 */
export class WaitQueue {
  readonly #deps: Deps;
  readonly #requestedAtMs = new Map<string, number>();
  readonly #backoffTimers = new Map<string, () => void>();
  readonly #stopRepeating: () => void;
  readonly #stopFollowing: () => void;
  #isCheckPlanned = false;
  #isStopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#stopFollowing = deps.sessions.onChange(({ key, seen }) => this.#follow(seen, key));
    for (const session of deps.sessions.waiting()) this.#follow(session, session.key);
    this.#stopRepeating = repeat(
      deps.clock,
      CHECK_MS,
      () => this.check(),
      (error) => deps.log.error({ error, retrying: true }, "failed to check the wait queue"),
    );
  }

  /** Checks the queue soon. Several calls in a row cause one check. */
  check(): void {
    if (this.#isCheckPlanned || this.#isStopped) return;
    this.#isCheckPlanned = true;
    queueMicrotask(() => {
      this.#isCheckPlanned = false;
      if (!this.#isStopped) this.#requestRetries();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopRepeating();
    this.#stopFollowing();
    for (const cancel of this.#backoffTimers.values()) cancel();
  }

  #follow(session: SeenSession | undefined, key: string): void {
    this.#backoffTimers.get(key)?.();
    this.#backoffTimers.delete(key);
    if (session === undefined || session.record.state !== "requested") {
      this.#requestedAtMs.delete(key);
      return;
    }
    const { backoffMs } = session.record;
    if (backoffMs === 0) {
      this.check();
      return;
    }
    this.#backoffTimers.set(
      key,
      this.#deps.clock.after(backoffMs, () => this.check()),
    );
  }

  #requestRetries(): void {
    const waiting = this.#deps.sessions.waiting().filter((session) => this.#isBackoffOver(session));
    const freeByQueue = new Map<string, number>();
    for (const session of waiting) {
      const queue = queueKeyOf(session.record);
      const free = freeByQueue.get(queue) ?? this.#deps.freeFor(session.record);
      if (free > 0) this.#requestRetry(session);
      freeByQueue.set(queue, free - 1);
    }
  }

  #isBackoffOver({ record, seenAtMs }: SeenSession): boolean {
    return this.#deps.clock.monotonic() - seenAtMs >= record.backoffMs;
  }

  #requestRetry({ key, record, revision }: SeenSession): void {
    const { bus, clock, log } = this.#deps;
    const now = clock.monotonic();
    const last = this.#requestedAtMs.get(key);
    if (last !== undefined && now - last < REPEAT_MS) return;
    this.#requestedAtMs.set(key, now);
    bus.streams
      .publish(sessionEvents, { type: "retry_requested", ...attemptRefOf(record), at: isoNow(clock) })
      .catch((error: unknown) => {
        this.#requestedAtMs.delete(key);
        const fields = { error, sessionId: record.sessionId, revision, retrying: true };
        log.warn(fields, "failed to request a retry");
      });
  }
}
