// The free agents of the hosts, less those that this dispatcher has reserved.
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import type { Canary } from "../../libs/contracts/fleet/pool.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord, Warmth } from "../../libs/contracts/sessions/session.ts";
import { type FreeAgents, freeAgents, totalOf } from "../../libs/domain/capacity.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import { chooseHost, chooseProvider, type HostChoice } from "./choose-host.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";

export interface Reservation {
  readonly choice: HostChoice;
  /** Called when the host has answered. From then on the host's own record counts the agent as busy. */
  release(): void;
}

/**
 * Between the choice of a host and its answer, the host's record still counts the agent as free. A reservation prevents
 * that a burst of sessions goes to one free agent. Another dispatcher does not know the reservation; the host then
 * declines one of the sessions, which costs no failure.
 */
export class HostReservations {
  readonly #view: Pick<HostView, "all" | "get">;
  readonly #circuitBreaker: Pick<CircuitBreaker, "isSetAside" | "onChosen">;
  readonly #canaryOf: (profile: string) => Canary | undefined;
  readonly #reserved = new Map<string, Record<Warmth, number>>();
  /** The hosts that were gone or full, with the sequence of the record that was wrong. */
  readonly #excluded = new Map<string, number>();

  constructor(
    view: Pick<HostView, "all" | "get">,
    circuitBreaker: Pick<CircuitBreaker, "isSetAside" | "onChosen">,
    canaryOf: (profile: string) => Canary | undefined,
  ) {
    this.#view = view;
    this.#circuitBreaker = circuitBreaker;
    this.#canaryOf = canaryOf;
  }

  /** Chooses a host and reserves one of its agents, or chooses the session's external provider. */
  choose(record: SessionRecord): Reservation | undefined {
    if (isExternal(record.provider)) return { choice: chooseProvider(record.provider), release: () => {} };
    const choice = chooseHost(
      this.#usable(),
      record,
      (host) => this.#free(host, record.profile),
      (hostId) => this.#circuitBreaker.isSetAside(hostId, record.profile),
      this.#canaryOf(record.profile),
    );
    if (choice === undefined) return undefined;
    this.#circuitBreaker.onChosen(choice.host, record.profile);
    const key = `${choice.host}/${record.profile}`;
    const counts = this.#reserved.get(key) ?? { hot: 0, warm: 0, cold: 0 };
    counts[choice.requestedWarmth] += 1;
    this.#reserved.set(key, counts);
    let isReleased = false;
    return {
      choice,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        counts[choice.requestedWarmth] -= 1;
      },
    };
  }

  /** The number of sessions like this one that could be dispatched now. */
  freeFor({ profile, provider }: Pick<SessionRecord, "profile" | "provider">): number {
    if (isExternal(provider)) return Number.POSITIVE_INFINITY;
    return this.#usable().reduce((sum, host) => sum + totalOf(this.#free(host, profile)), 0);
  }

  /** Does not choose a host until its next update. */
  excludeUntilUpdate(hostId: string): void {
    const host = this.#view.get(hostId);
    if (host !== undefined) this.#excluded.set(hostId, host.sequence);
  }

  #usable(): HostRecord[] {
    return this.#view.all().filter((host) => this.#excluded.get(host.hostId) !== host.sequence);
  }

  #free(host: HostRecord, profile: string): FreeAgents {
    const free = freeAgents(host, profile);
    const reserved = this.#reserved.get(`${host.hostId}/${profile}`);
    if (reserved === undefined) return free;
    // More reservations than agents of one warmth take agents of the next: a host without a hot agent gives a warm one.
    const hot = Math.max(0, free.hot - reserved.hot);
    const warm = Math.max(0, free.warm - reserved.warm);
    const total = totalOf(free) - totalOf(reserved);
    return { hot, warm, cold: Math.max(0, total - hot - warm) };
  }
}
