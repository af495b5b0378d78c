// Which host a session goes to: a pure decision over what the hosts last said.
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import {
  type ExternalProvider,
  PROVIDER_EPOCH,
  providerHostOf,
} from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord, Warmth } from "../../libs/contracts/sessions/session.ts";
import { type FreeAgents, freeAgents } from "../../libs/domain/capacity.ts";
import { mayUseHot } from "../../libs/domain/session/reduce.ts";

export interface HostChoice {
  readonly host: string;
  readonly epoch: number;
  readonly requestedWarmth: Warmth;
}

/**
 * The host for a session, or undefined when none has an agent to give.
 *
 * Hot before warm before cold; among equals the host with the least load; a host that just declined or failed
 * this session only when there is no other.
 *
 * @param free what each host has free, less what was promised to others and not yet answered.
 */
export function chooseHost(
  hosts: readonly HostRecord[],
  record: SessionRecord,
  free: (host: HostRecord) => FreeAgents = (host) => freeAgents(host, record.profile),
): HostChoice | undefined {
  const offers = hosts
    .flatMap((host) => {
      const asked = bestOffer(free(host), mayUseHot(record));
      return asked === undefined ? [] : [{ host, requestedWarmth: asked }];
    })
    .sort(
      (a, b) =>
        Number(record.avoid.includes(a.host.hostId)) - Number(record.avoid.includes(b.host.hostId)) ||
        rank[a.requestedWarmth] - rank[b.requestedWarmth] ||
        a.host.load - b.host.load ||
        a.host.hostId.localeCompare(b.host.hostId),
    );
  const best = offers[0];
  return best === undefined
    ? undefined
    : { host: best.host.hostId, epoch: best.host.epoch, requestedWarmth: best.requestedWarmth };
}

/**
 * What stands for a host where a provider brings the agent: any instance of the providers service answers for it. Whether the provider has
 * an agent to give only the provider knows, so it is always asked.
 */
export const chooseProvider = (provider: ExternalProvider): HostChoice => ({
  host: providerHostOf(provider),
  epoch: PROVIDER_EPOCH,
  requestedWarmth: "cold",
});

const rank: Record<Warmth, number> = { hot: 0, warm: 1, cold: 2 };

/** A hot agent also serves as a warm one, by leaving its standby room for the session's. */
function bestOffer(free: FreeAgents, mayBeHot: boolean): Warmth | undefined {
  if (free.hot > 0 && mayBeHot) return "hot";
  if (free.warm + free.hot > 0) return "warm";
  return free.cold > 0 ? "cold" : undefined;
}
