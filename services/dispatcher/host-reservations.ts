// The hosts with what this dispatcher promised of them and knows to be out of date.
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord, Warmth } from "../../libs/contracts/sessions/session.ts";
import { type FreeAgents, freeAgents, totalOf } from "../../libs/domain/capacity.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import { chooseHost, chooseProvider, type HostChoice } from "./choose-host.ts";

export interface Reservation {
  readonly choice: HostChoice;
  /** To be called when the host has answered: from then on its own count includes it. */
  release(): void;
}

/**
 * Between the choice of a host and its answer an agent is free in the host's last word and yet given away.
 * The fleet remembers those, so that a burst doesn't send ten sessions to one free agent. Another dispatcher
 * doesn't know them: then the host declines, and no harm is done.
 */
export class HostReservations {
  readonly #view: Pick<HostView, "all" | "get">;
  readonly #promised = new Map<string, Record<Warmth, number>>();
  /** Hosts that were found gone or full, with the sequence of their last word: until they speak again. */
  readonly #passedOver = new Map<string, number>();

  constructor(view: Pick<HostView, "all" | "get">) {
    this.#view = view;
  }

  /** Chooses a host and promises one of its agents, or the provider that brings its own. */
  choose(record: SessionRecord): Reservation | undefined {
    if (isExternal(record.provider)) return { choice: chooseProvider(record.provider), release: () => {} };
    const choice = chooseHost(this.#usable(), record, (host) => this.#free(host, record.profile));
    if (choice === undefined) return undefined;
    const key = `${choice.host}/${record.profile}`;
    const counts = this.#promised.get(key) ?? { hot: 0, warm: 0, cold: 0 };
    counts[choice.requestedWarmth] += 1;
    this.#promised.set(key, counts);
    let settled = false;
    return {
      choice,
      release: () => {
        if (settled) return;
        settled = true;
        counts[choice.requestedWarmth] -= 1;
      },
    };
  }

  /** How many sessions like this one could be dispatched now. */
  freeFor({ profile, provider }: Pick<SessionRecord, "profile" | "provider">): number {
    if (isExternal(provider)) return Number.POSITIVE_INFINITY;
    return this.#usable().reduce((sum, host) => sum + totalOf(this.#free(host, profile)), 0);
  }

  /** Leaves a host alone until it says something new. */
  excludeUntilUpdate(hostId: string): void {
    const host = this.#view.get(hostId);
    if (host !== undefined) this.#passedOver.set(hostId, host.sequence);
  }

  #usable(): HostRecord[] {
    return this.#view.all().filter((host) => this.#passedOver.get(host.hostId) !== host.sequence);
  }

  #free(host: HostRecord, profile: string): FreeAgents {
    const free = freeAgents(host, profile);
    const promised = this.#promised.get(`${host.hostId}/${profile}`);
    if (promised === undefined) return free;
    // What was promised beyond one kind is taken from the next: a hot agent that is gone becomes a warm one.
    const hot = Math.max(0, free.hot - promised.hot);
    const warm = Math.max(0, free.warm - promised.warm);
    const total = totalOf(free) - totalOf(promised);
    return { hot, warm, cold: Math.max(0, total - hot - warm) };
  }
}
