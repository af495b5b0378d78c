// How many agents of the fleet a task could have now: a pure decision over what the hosts last said.
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";

/**
 * Agents that are idle or could be started, less those that were promised to attempts which have none yet.
 * An answer that is too large costs nobody anything: the session waits for an agent, and the task is queued again.
 */
export function freeAgentsOf(hosts: readonly HostRecord[], profile: string, promised: number): number {
  let free = 0;
  for (const host of hosts) {
    const present = host.profiles[profile];
    if (present === undefined || present.status !== "running" || host.draining) continue;
    const busyOnHost = Object.values(host.profiles).reduce((sum, each) => sum + each.busy, 0);
    free += Math.max(0, Math.min(present.max - present.busy, host.maxAgents - busyOnHost));
  }
  return Math.max(0, free - promised);
}

/** Whether any host has a file for it, as far as hosts are there to be asked. */
export const isKnownProfile = (hosts: readonly HostRecord[], profile: string): boolean =>
  hosts.length === 0 || hosts.some((host) => host.profiles[profile] !== undefined);
