// How many agents of a profile could take a session now, and whether another one may still wait.
import type { HostRecord } from "../../libs/contracts/host.ts";
import { liveHosts } from "./choose-profile.ts";

export interface Capacity {
  /** Agents that wait for a session, warm and hot. */
  readonly idle: number;
  /** Agents that could still be started. */
  readonly cold: number;
  /** Median of the hosts' own warm-up times in ms, where they have measured it. */
  readonly warmUpMs: number | undefined;
}

/** What the live hosts have left for one profile. */
export function capacityFor(hosts: readonly HostRecord[], profile: string): Capacity {
  let idle = 0;
  let cold = 0;
  const warmUps: number[] = [];
  for (const host of liveHosts(hosts)) {
    const mine = host.profiles[profile];
    if (mine === undefined || mine.status !== "running") continue;
    idle += mine.warm + mine.hot;
    const busy = Object.values(host.profiles).reduce((sum, other) => sum + other.busy, 0);
    // Idle agents of other profiles give way to a cold start, so only the busy ones count against the host.
    const leftOnHost = host.maxAgents - busy - mine.warm - mine.hot;
    cold += Math.max(0, Math.min(mine.max - mine.warm - mine.hot - mine.busy, leftOnHost));
    if (mine.warmUpMs !== undefined) warmUps.push(mine.warmUpMs);
  }
  return { idle, cold, warmUpMs: median(warmUps) };
}

/**
 * True while one more session may be taken in: it finds an agent, or a place in the queue.
 * @param waiting sessions that wait for an agent, with those that were accepted a moment ago
 */
export const mayQueue = (waiting: number, capacity: Capacity, queueMax: number): boolean =>
  waiting < queueMax + capacity.idle + capacity.cold;

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
