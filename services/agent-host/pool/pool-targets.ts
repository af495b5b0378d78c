// The number of agents of each profile that this host keeps: its share of the fleet's pool.
import { type Bus, getOwn, type Stop } from "../../../libs/bus/bus.ts";
import { pools as poolsBucket } from "../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { PoolSettings, type PoolTarget } from "../../../libs/contracts/fleet/pool.ts";
import type { HostView } from "../../../libs/fleet/host-view.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { AgentPool } from "./agent-pool.ts";

interface Deps {
  readonly bus: Bus;
  readonly log: Log;
  readonly hostId: string;
  readonly pools: ReadonlyMap<string, AgentPool>;
  /** The settings of a file without a `pool` export. */
  readonly defaults: PoolSettings;
}

const TRIES = 10;

export class PoolTargets {
  readonly #deps: Deps;
  readonly #targets = new Map<string, PoolTarget>();
  #hosts: HostView | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Follows the fleet's targets and its hosts until stopped. */
  async follow(hosts: HostView): Promise<Stop> {
    this.#hosts = hosts;
    hosts.onChange(() => this.#applyShares());
    return this.#deps.bus.kv.watch(poolsBucket, ({ key, value }) => {
      if (value === undefined) this.#targets.delete(key);
      else this.#targets.set(key, value);
      this.#applyShares();
    });
  }

  /**
   * Stores a file's `pool` export as the fleet's target, unless an operator has set one. A canary, which has a share of the
   * sessions, doesn't decide about the whole fleet.
   *
   * @param version the version of the file's code
   */
  async storeExported(profile: string, exported: Partial<PoolSettings>, version?: string): Promise<void> {
    const { bus, defaults, log } = this.#deps;
    const parsed = PoolSettings.safeParse({ ...defaults, ...exported });
    if (!parsed.success) {
      log.warn(
        { profile, faults: parsed.error.issues },
        "the file's pool export is invalid; using the defaults",
      );
    }
    const size = parsed.success ? parsed.data : defaults;
    for (let tries = 0; tries < TRIES; tries++) {
      const { value, revision } = await getOwn(bus, poolsBucket, profile);
      const canary = value?.canary === undefined ? {} : { canary: value.canary };
      const target: PoolTarget = { ...size, profile, source: "file", ...canary };
      if (version !== undefined && value?.canary?.version === version) break;
      if (value?.source === "api" || JSON.stringify(value) === JSON.stringify(target)) break;
      if ((await bus.kv.update(poolsBucket, target, revision)) !== undefined) break;
    }
    this.#applyShares();
  }

  /** Each host computes its own share of every pool. All compute it from the same records. */
  #applyShares(): void {
    for (const [profile, target] of this.#targets) {
      const pool = this.#deps.pools.get(profile);
      const share = shareOfPool(target, profile, this.#hosts?.all() ?? [], this.#deps.hostId);
      if (pool !== undefined && !isSame(share, pool.target)) pool.setTarget(share);
    }
  }
}

/** This host's share of a profile's pool, which it shares with the hosts that can run the profile. */
function shareOfPool(
  target: PoolSettings,
  profile: string,
  hosts: readonly HostRecord[],
  hostId: string,
): PoolSettings {
  const able = hosts.filter((host) => isAble(host, profile)).map((host) => host.hostId);
  const min = shareOf(target.min, able, hostId);
  return {
    min,
    hot: Math.min(min, shareOf(target.hot, able, hostId)),
    max: shareOf(target.max, able, hostId),
    perProcess: target.perProcess,
  };
}

/** This host's share of a total. The shares of all hosts add up to the total: the first hosts by name take the rest. */
function shareOf(total: number, hosts: readonly string[], hostId: string): number {
  const order = [...new Set([...hosts, hostId])].sort();
  const place = order.indexOf(hostId);
  return Math.floor(total / order.length) + (place < total % order.length ? 1 : 0);
}

/** A draining host, or one on which the profile fails, gets no share. */
const isAble = (host: HostRecord, profile: string): boolean => {
  const status = host.profiles[profile]?.status;
  return !host.draining && (status === "running" || status === "stopped");
};

const isSame = (a: PoolSettings, b: PoolSettings): boolean =>
  a.min === b.min && a.hot === b.hot && a.max === b.max && a.perProcess === b.perProcess;
