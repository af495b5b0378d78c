// How a fleet's number of agents is shared out: each host works out its own part, and all agree.
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";

/**
 * This host's part of a total. The parts of all hosts add up to it; the first ones in the order of their
 * names take one more when it doesn't come out even.
 */
function shareOf(total: number, hosts: readonly string[], me: string): number {
  const order = [...new Set([...hosts, me])].sort();
  const place = order.indexOf(me);
  return Math.floor(total / order.length) + (place < total % order.length ? 1 : 0);
}

/** This host's part of a profile's pool, shared with the hosts that can run it. */
export function sharePool(
  target: PoolSettings,
  profile: string,
  hosts: readonly HostRecord[],
  me: string,
): PoolSettings {
  const able = hosts.filter((host) => isAble(host, profile)).map((host) => host.hostId);
  const min = shareOf(target.min, able, me);
  return {
    min,
    hot: Math.min(min, shareOf(target.hot, able, me)),
    max: shareOf(target.max, able, me),
    perProcess: target.perProcess,
  };
}

/** A host that leaves, or on which the profile doesn't work, takes no part. */
const isAble = (host: HostRecord, profile: string): boolean => {
  const status = host.profiles[profile]?.status;
  return !host.draining && (status === "running" || status === "stopped");
};
