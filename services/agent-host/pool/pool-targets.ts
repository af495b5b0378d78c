// How many agents of each profile this host keeps: its part of the fleet's number.
import { type Bus, getOwn, type Stop } from "../../../libs/bus/bus.ts";
import { pools as poolsBucket } from "../../../libs/contracts/buckets.ts";
import { PoolSettings, type PoolTarget } from "../../../libs/contracts/fleet/pool.ts";
import type { HostView } from "../../../libs/fleet/host-view.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { AgentPool } from "./agent-pool.ts";
import { sharePool } from "./share-pool.ts";

interface Deps {
  readonly bus: Bus;
  readonly log: Log;
  readonly hostId: string;
  readonly pools: ReadonlyMap<string, AgentPool>;
  /** For files that say nothing. */
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

  /** Follows the fleet's numbers and its hosts until stopped. */
  async follow(hosts: HostView): Promise<Stop> {
    this.#hosts = hosts;
    hosts.onChange(() => this.#shareOut());
    return this.#deps.bus.kv.watch(poolsBucket, ({ key, value }) => {
      if (value === undefined) this.#targets.delete(key);
      else this.#targets.set(key, value);
      this.#shareOut();
    });
  }

  /** A file's numbers are the fleet's, until an operator says other ones. */
  async adopt(profile: string, exported: Partial<PoolSettings>): Promise<void> {
    const { bus, defaults, log } = this.#deps;
    const parsed = PoolSettings.safeParse({ ...defaults, ...exported });
    if (!parsed.success) {
      log.warn(
        { profile, faults: parsed.error.issues },
        "the file's pool export can't be used; defaults are",
      );
    }
    const wanted: PoolTarget = { ...(parsed.success ? parsed.data : defaults), profile, source: "file" };
    for (let tries = 0; tries < TRIES; tries++) {
      const { value, revision } = await getOwn(bus, poolsBucket, profile);
      if (value?.source === "api" || JSON.stringify(value) === JSON.stringify(wanted)) break;
      if ((await bus.kv.update(poolsBucket, wanted, revision)) !== undefined) break;
    }
    this.#shareOut();
  }

  /** Each host takes its own part of every pool; all work it out from the same numbers. */
  #shareOut(): void {
    for (const [profile, target] of this.#targets) {
      const pool = this.#deps.pools.get(profile);
      const share = sharePool(target, profile, this.#hosts?.all() ?? [], this.#deps.hostId);
      if (pool !== undefined && !isSame(share, pool.target)) pool.setTarget(share);
    }
  }
}

const isSame = (a: PoolSettings, b: PoolSettings): boolean =>
  a.min === b.min && a.hot === b.hot && a.max === b.max && a.perProcess === b.perProcess;
