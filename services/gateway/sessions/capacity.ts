// Counts the agents of a profile that could serve a session now, and lists the sessions that wait for them.
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { freeAgents, median, queueKeyOf } from "../../../libs/domain/capacity.ts";
import type { HostView } from "../../../libs/fleet/host-view.ts";
import type { SeenSession, SessionView } from "../../../libs/fleet/session-view.ts";
import { liveHosts } from "./profiles.ts";

export interface Capacity {
  /** Idle agents, warm and hot. */
  readonly idle: number;
  /** Agents that could still be started. */
  readonly cold: number;
  /** Median of the hosts' measured warm-up times in ms. */
  readonly warmUpMs: number | undefined;
}

/** A requested agent: a profile of the hosts or of another provider. */
export type AgentRequest = Pick<SessionRecord, "profile" | "provider">;

interface Views {
  readonly hosts: Pick<HostView, "all">;
  readonly sessions: Pick<SessionView, "waiting">;
}

/**
 * The free capacity of one profile. Only an external provider knows its own capacity, so it counts as unlimited until an
 * agent had to be requested again.
 */
export function capacityFor({ hosts, sessions }: Views, wanted: AgentRequest): Capacity {
  if (!isExternal(wanted.provider)) return capacityOnHosts(hosts.all(), wanted.profile);
  const isShort = waitingWith(sessions, wanted).some(({ record }) => record.attempt > 1);
  return { idle: 0, cold: isShort ? 0 : Number.MAX_SAFE_INTEGER, warmUpMs: undefined };
}

/** The sessions that wait for the same agents, oldest first. */
export const waitingWith = (
  sessions: Pick<SessionView, "waiting">,
  { profile, provider }: AgentRequest,
): SeenSession[] =>
  sessions.waiting(profile).filter(({ record }) => queueKeyOf(record) === queueKeyOf({ profile, provider }));

/** The free capacity of one profile on the live hosts. */
export function capacityOnHosts(hosts: readonly HostRecord[], profile: string): Capacity {
  let idle = 0;
  let cold = 0;
  const warmUps: number[] = [];
  for (const host of liveHosts(hosts)) {
    const state = host.profiles[profile];
    if (state === undefined || state.status !== "running") continue;
    const free = freeAgents(host, profile);
    idle += free.hot + free.warm;
    cold += free.cold;
    if (state.warmUpMs !== undefined) warmUps.push(state.warmUpMs);
  }
  return { idle, cold, warmUpMs: median(warmUps) };
}
