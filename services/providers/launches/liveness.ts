// Which instances of the providers service are alive, by their heartbeats: what a dead one left, another takes over.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { serviceHeartbeats } from "../../../libs/contracts/streams.ts";
import { watchAbsence } from "../../../libs/fleet/absence.ts";
import { DEAD_AFTER_MS } from "../../../libs/fleet/heartbeat.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

export interface Liveness {
  /**
   * True when so much of its silence was heard that it must be dead, or it said itself that it stops.
   * @param signOfLifeAtMs when something else was seen of it, on the monotonic clock
   */
  isDead(instance: string, signOfLifeAtMs: number): boolean;
  stop: Stop;
}

/** Listens until stopped. Nobody counts as dead before it was listened for long enough without a break. */
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
      return (
        clock.monotonic() - Math.max(sinceMs, heardAtMs.get(instance) ?? 0, signOfLifeAtMs) > DEAD_AFTER_MS
      );
    },
    async stop() {
      absence.stop();
      await stopListening();
    },
  };
}
