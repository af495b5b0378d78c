// The circuit breaker over hosts: a host on which starts fail while they succeed on others is the last choice.
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

/** Starts of different sessions that fail in a row on one host before it is set aside. */
const FAILURES = 3;
/** A host gets a trial after this time. Each further failure doubles it. */
const RETRY_MS = 10_000;
const MAX_RETRY_MS = 300_000;

/** The starts of one profile on one host since the last one that succeeded. */
interface Streak {
  readonly host: string;
  readonly epoch: number | undefined;
  readonly profile: string;
  readonly failed: Set<string>;
  reason: string;
  /** The starts of the profile on other hosts since this streak began, or since the host was set aside. */
  others: { succeeded: number; failed: number };
  /** Set once the host was set aside. It gets a trial after this time. */
  untilMs: number | undefined;
  isOnTrial: boolean;
  trips: number;
}

/**
 * Holds what this dispatcher knows from the events that it handles. Each dispatcher has its own.
 *
 * closed ──three failures, while starts succeed on other hosts──▶ set aside ──time──▶ on trial ──success──▶ closed
 *                                                                     ▲                   │
 *                                                                     └──────failure──────┘
 *
 * A file that fails everywhere sets no host aside. A host that is set aside still serves when no other has an agent, so
 * the last host always serves. A host that registers again is trusted again.
 */
export class CircuitBreaker {
  readonly #nowMs: () => number;
  readonly #streaks = new Map<string, Streak>();

  /** @param nowMs monotonic time */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A session became ready on this host. */
  succeeded({ host, profile }: SessionRecord): void {
    if (host === undefined) return;
    this.#streaks.delete(keyOf(host, profile));
    for (const streak of this.#othersOf(host, profile)) {
      streak.others.succeeded += 1;
      this.#tripIfDue(streak);
    }
  }

  /** A start failed on this host. The failures of one session count once. */
  failed({ host, hostEpoch, profile, tenant, sessionId }: SessionRecord, reason: string): void {
    if (host === undefined) return;
    const key = keyOf(host, profile);
    const streak = this.#streaks.get(key) ?? newStreak(host, hostEpoch, profile);
    this.#streaks.set(key, streak);
    streak.reason = reason;
    streak.failed.add(`${tenant}.${sessionId}`);
    for (const other of this.#othersOf(host, profile)) other.others.failed += 1;
    if (streak.isOnTrial) this.#endTrial(key, streak);
    else this.#tripIfDue(streak);
  }

  /** Whether the host is at fault if a start of the profile fails there: the host is set aside, or on trial. */
  isAtFault(host: string, profile: string): boolean {
    return this.#streaks.get(keyOf(host, profile))?.untilMs !== undefined;
  }

  /** Whether starts of the profile fail on this host, and not on others. */
  isSetAside(host: string, profile: string): boolean {
    const untilMs = this.#streaks.get(keyOf(host, profile))?.untilMs;
    return untilMs !== undefined && this.#nowMs() < untilMs;
  }

  /** The host was chosen. A host on trial gets one session, and no other until that one has started. */
  onChosen(host: string, profile: string): void {
    const streak = this.#streaks.get(keyOf(host, profile));
    if (streak?.untilMs === undefined || this.isSetAside(host, profile)) return;
    streak.isOnTrial = true;
    streak.untilMs = this.#nowMs() + retryMs(streak.trips);
  }

  /** Forgets what was known about earlier registrations of a host. */
  onRegistered(host: string, epoch: number): void {
    for (const [key, streak] of this.#streaks)
      if (streak.host === host && streak.epoch !== epoch) this.#streaks.delete(key);
  }

  /**
   * The hosts that are set aside or wait for their trial, with the reason; undefined if there are none. A host whose
   * registration is missing may only be slow, so it is forgotten after its time.
   */
  reason(isRegistered: (host: string) => boolean): string | undefined {
    for (const [key, { host, profile }] of this.#streaks)
      if (!isRegistered(host) && !this.isSetAside(host, profile)) this.#streaks.delete(key);
    const reasons = [...this.#streaks.values()]
      .filter(({ host }) => isRegistered(host))
      .filter(({ untilMs }) => untilMs !== undefined)
      .map(
        ({ host, profile, failed, reason }) =>
          `${host} is set aside for ${profile}: ${failed.size} starts failed there while starts on other hosts succeeded; last: ${reason}`,
      );
    return reasons.length === 0 ? undefined : reasons.join(". ");
  }

  #othersOf(host: string, profile: string): Streak[] {
    return [...this.#streaks.values()].filter((each) => each.profile === profile && each.host !== host);
  }

  #tripIfDue(streak: Streak): void {
    const { failed, others, untilMs } = streak;
    if (untilMs !== undefined || failed.size < FAILURES || others.succeeded <= others.failed) return;
    this.#setAside(streak);
  }

  /** The trial failed. If the profile fails on other hosts too by now, the file is at fault. */
  #endTrial(key: string, streak: Streak): void {
    const { succeeded, failed } = streak.others;
    if (failed > 0 && failed >= succeeded) this.#streaks.delete(key);
    else this.#setAside(streak);
  }

  #setAside(streak: Streak): void {
    streak.trips += 1;
    streak.untilMs = this.#nowMs() + retryMs(streak.trips);
    streak.isOnTrial = false;
    streak.others = { succeeded: 0, failed: 0 };
  }
}

const keyOf = (host: string, profile: string): string => `${host}/${profile}`;

const retryMs = (trips: number): number => Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (trips - 1));

const newStreak = (host: string, epoch: number | undefined, profile: string): Streak => ({
  ...{ host, epoch, profile, failed: new Set<string>(), reason: "" },
  ...{ others: { succeeded: 0, failed: 0 }, untilMs: undefined, isOnTrial: false, trips: 0 },
});
