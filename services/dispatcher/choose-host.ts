// Chooses the host for a session by the hosts' records. Pure.
import { createHash } from "node:crypto";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import type { Canary } from "../../libs/contracts/fleet/pool.ts";
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
 * The host for a session, or undefined when no host has a free agent.
 *
 * A host with the version that the canary's share gives the session comes first. Among these, a hot agent comes before a
 * warm one, and a warm one before a cold one. Among equals, the host with the least load comes first. A host that has just
 * declined or failed this session comes after all others, and one that is set aside comes last.
 *
 * The version is a preference: a session takes any free agent rather than wait.
 *
 * @param free the free agents of each host, less the reserved ones
 * @param isSetAside whether starts fail on a host that succeed on others
 */
export function chooseHost(
  hosts: readonly HostRecord[],
  record: SessionRecord,
  free: (host: HostRecord) => FreeAgents = (host) => freeAgents(host, record.profile),
  isSetAside: (hostId: string) => boolean = () => false,
  canary?: Canary,
): HostChoice | undefined {
  // After a failure, the version of most sessions is the safer one.
  const isCanary = canary !== undefined && record.failures === 0 && isInShare(record.sessionId, canary.share);
  const hasOtherVersion = ({ profiles }: HostRecord): boolean =>
    canary !== undefined && (profiles[record.profile]?.version === canary.version) !== isCanary;
  const offers = hosts
    .flatMap((host) => {
      const requestedWarmth = bestOffer(free(host), mayUseHot(record));
      return requestedWarmth === undefined ? [] : [{ host, requestedWarmth }];
    })
    .sort(
      (a, b) =>
        Number(isSetAside(a.host.hostId)) - Number(isSetAside(b.host.hostId)) ||
        Number(record.avoid.includes(a.host.hostId)) - Number(record.avoid.includes(b.host.hostId)) ||
        Number(hasOtherVersion(a.host)) - Number(hasOtherVersion(b.host)) ||
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
 * The pseudo-host of an external provider, for which any instance of the providers service answers. Only the provider
 * knows whether it has an agent, so it is always asked.
 */
export const chooseProvider = (provider: ExternalProvider): HostChoice => ({
  host: providerHostOf(provider),
  epoch: PROVIDER_EPOCH,
  requestedWarmth: "cold",
});

/** Depends on the id alone, so that each dispatcher decides the same, also when a session migrates. */
export const isInShare = (sessionId: string, share: number): boolean =>
  createHash("sha256").update(sessionId).digest().readUInt32BE() / 2 ** 32 < share;

const rank: Record<Warmth, number> = { hot: 0, warm: 1, cold: 2 };

/** A hot agent also serves as a warm one: it leaves its standby room for the session's room. */
function bestOffer(free: FreeAgents, mayBeHot: boolean): Warmth | undefined {
  if (free.hot > 0 && mayBeHot) return "hot";
  if (free.warm + free.hot > 0) return "warm";
  return free.cold > 0 ? "cold" : undefined;
}
