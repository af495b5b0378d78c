// Who waits for an agent, and whose turn it is when one is free.
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

/** A woken session that is still there after this is woken again. */
const WAKE_AGAIN_MS = 1000;

/**
 * Wakes waiting sessions by a message each, oldest first, as many as there are free agents. Waking by message
 * and not by call means that a dispatcher which dies while dispatching leaves the message to the next one.
 */
export class WaitQueue {
  readonly #deps: Deps;
  readonly #wokenAtMs = new Map<string, number>();
  readonly #timers = new Map<string, () => void>();
  readonly #stopRepeating: () => void;
  readonly #stopListening: () => void;
  #checkIsDue = false;
  #stopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#stopListening = deps.sessions.onChange(({ key, seen }) => this.#follow(seen, key));
    for (const session of deps.sessions.waiting()) this.#follow(session, session.key);
    // Announcements may be lost; nobody waits longer than this for the next look.
    this.#stopRepeating = repeat(
      deps.clock,
      1000,
      () => this.check(),
      (error) => deps.log.error({ error }, "looking after waiting sessions failed"),
    );
  }

  /** Looks soon who can be woken; several calls in a row make one look. */
  check(): void {
    if (this.#checkIsDue || this.#stopped) return;
    this.#checkIsDue = true;
    queueMicrotask(() => {
      this.#checkIsDue = false;
      if (!this.#stopped) this.#wakeAll();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#stopRepeating();
    this.#stopListening();
    for (const cancel of this.#timers.values()) cancel();
  }

  #follow(session: SeenSession | undefined, key: string): void {
    this.#timers.get(key)?.();
    this.#timers.delete(key);
    if (session === undefined || session.record.state !== "requested") {
      this.#wokenAtMs.delete(key);
      return;
    }
    const dueInMs = session.record.backoffMs;
    if (dueInMs === 0) {
      this.check();
      return;
    }
    this.#timers.set(
      key,
      this.#deps.clock.after(dueInMs, () => this.check()),
    );
  }

  #wakeAll(): void {
    const waiting = this.#deps.sessions.waiting().filter((session) => this.#isRested(session));
    const free = new Map<string, number>();
    for (const session of waiting) {
      const line = queueKeyOf(session.record);
      const left = free.get(line) ?? this.#deps.freeFor(session.record);
      if (left > 0) this.#wake(session);
      free.set(line, left - 1);
    }
  }

  #isRested({ record, seenAtMs }: SeenSession): boolean {
    return this.#deps.clock.monotonic() - seenAtMs >= record.backoffMs;
  }

  #wake(session: SeenSession): void {
    const { key, record, revision } = session;
    const now = this.#deps.clock.monotonic();
    const last = this.#wokenAtMs.get(key);
    if (last !== undefined && now - last < WAKE_AGAIN_MS) return;
    this.#wokenAtMs.set(key, now);
    this.#deps.bus.streams
      .publish(sessionEvents, {
        type: "retry_requested",
        ...attemptRefOf(record),
        at: isoNow(this.#deps.clock),
      })
      .catch((error: unknown) => {
        this.#wokenAtMs.delete(key);
        this.#deps.log.warn(
          { error, sessionId: record.sessionId, revision },
          "waking a session failed; it is tried again",
        );
      });
  }
}
