// Takes over launches whose owner is dead, and intents that nobody has acted on.
import { type Seen, watchBucket } from "../../../libs/bus/bucket-view.ts";
import type { Stop } from "../../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { launches } from "../../../libs/contracts/buckets.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { ProviderDriver } from "../drivers/driver.ts";
import type { LaunchManager } from "./launch-manager.ts";
import type { Liveness } from "./liveness.ts";

interface Deps extends ServiceDeps {
  readonly instance: string;
  readonly providers: ReadonlyMap<string, Pick<ProviderDriver, "launchLimitMs">>;
  readonly liveness: Pick<Liveness, "isDead">;
  readonly manager: Pick<LaunchManager, "has" | "recoverUnconfirmed" | "takeOver" | "supersede">;
}

export interface LaunchTakeover {
  /** Looks at every launch that nobody here follows. */
  takeOver(): Promise<void>;
  stop: Stop;
}

/** The time for the two saves around a launch, on top of the driver's own limit. */
const SAVING_MS = 10_000;

export async function watchLaunches(deps: Deps): Promise<LaunchTakeover> {
  const { bus, clock, instance, log, manager } = deps;
  const view = await watchBucket(bus, launches, clock, {
    keep: ({ state }) => state !== "over",
    onChange({ key, value, revision }) {
      if (value?.by !== instance) manager.supersede(key, revision);
    },
  });
  return {
    async takeOver() {
      for (const seen of view.all()) {
        const { key } = seen;
        if (manager.has(key) || manager.recoverUnconfirmed(seen) || !isAbandoned(deps, seen)) continue;
        try {
          await manager.takeOver(seen);
        } catch (error) {
          log.debug({ key, reason: messageOf(error), retrying: true }, "failed to take over a launch");
        }
      }
    },
    stop: view.stop,
  };
}

function isAbandoned(
  { clock, instance, liveness, providers }: Deps,
  { record: { by, provider, state }, seenAtMs }: Seen<LaunchRecord>,
): boolean {
  // An instance that has just written the record is alive even if its heartbeats were lost.
  if (by !== instance && liveness.isDead(by, seenAtMs)) return true;
  // A launch of this instance that it does not follow was saved although the answer was lost.
  if (state !== "intended" && by !== instance) return false;
  const limitMs = (providers.get(provider)?.launchLimitMs ?? 0) + SAVING_MS;
  return clock.monotonic() - seenAtMs > limitMs;
}
