// Tracks by heartbeat which instances of the providers service are alive.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { serviceHeartbeats } from "../../../libs/contracts/streams.ts";
import { watchAbsence } from "../../../libs/fleet/absence.ts";
import { DEAD_AFTER_MS } from "../../../libs/fleet/heartbeat.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

export interface Liveness {
  /**
   * Whether an instance has been silent for too long, or has announced its stop.
   * @param signOfLifeAtMs when this process saw another sign of life, on its monotonic clock
   */
  isDead(instance: string, signOfLifeAtMs: number): boolean;
  stop: Stop;
}

/** Listens until stopped. No instance is dead before this process has listened long enough without a break. */
export async function watchLiveness(bus: Bus, clock: Clock): Promise<Liveness> {
  const heardAtMs = new Map<string, number>();
  const stopped = new Set<string>();
  const absence = watchAbsence(bus, clock);
  const stopListening = await bus.core.subscribe(serviceHeartbeats, ({ service, instance, status }) => {
    if (service !== "providers") return;
    if (status === "running") {
      heardAtMs.set(instance, clock.monotonic());
      stopped.delete(instance);
    } else stopped.add(instance);
  });
  return {
    isDead(instance, signOfLifeAtMs) {
      const sinceMs = absence.presentSinceMs();
      if (sinceMs === undefined) return false;
      if (stopped.has(instance)) return true;
      const lastSignAtMs = Math.max(sinceMs, heardAtMs.get(instance) ?? 0, signOfLifeAtMs);
      return clock.monotonic() - lastSignAtMs > DEAD_AFTER_MS;
    },
    async stop() {
      absence.stop();
      await stopListening();
    },
  };
}
