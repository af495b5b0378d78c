// Counts the free agents of hosts by their last status, and tells which sessions compete for the same ones.
import type { HostRecord } from "../contracts/fleet/host.ts";
import { isExternal } from "../contracts/providers/provider.ts";
import type { SessionRecord } from "../contracts/sessions/session.ts";

/** How many agents could still be given out, by how ready they are. */
export interface FreeAgents {
  readonly hot: number;
  readonly warm: number;
  /** Not started yet. */
  readonly cold: number;
}

/** An idle agent of another profile gives way to a cold start, so only busy agents count against the host. */
export function freeAgents(host: HostRecord, profile: string): FreeAgents {
  const present = host.profiles[profile];
  if (present === undefined || present.status !== "running" || host.draining)
    return { hot: 0, warm: 0, cold: 0 };
  const room = Math.max(0, host.maxAgents - busyAgents(host));
  const hot = Math.min(present.hot, room);
  const warm = Math.min(present.warm, room - hot);
  const cold = Math.max(0, Math.min(present.max - present.busy, room) - hot - warm);
  return { hot, warm, cold };
}

export const totalOf = ({ hot, warm, cold }: FreeAgents): number => hot + warm + cold;

/** All free agents of a profile, on all hosts together. */
export const freeAgentCount = (hosts: readonly HostRecord[], profile: string): number =>
  hosts.reduce((sum, host) => sum + totalOf(freeAgents(host, profile)), 0);

export const busyAgents = (host: HostRecord): number =>
  Object.values(host.profiles).reduce((sum, { busy }) => sum + busy, 0);

/** Equal for sessions that wait for the same agents: those of the fleet's hosts, or a provider's. */
export const queueKeyOf = ({ profile, provider }: Pick<SessionRecord, "profile" | "provider">): string =>
  isExternal(provider) ? `${provider}:${profile}` : profile;

/** The upper one of the two in the middle; undefined of nothing. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
