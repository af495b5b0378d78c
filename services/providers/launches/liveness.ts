// Which instances of the providers service are alive, by their heartbeats: what a dead one left, another takes over.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { serviceHeartbeats } from "../../../libs/contracts/streams.ts";
import { DEAD_AFTER_MS } from "../../../libs/fleet/heartbeat.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";

export interface Liveness {
  /**
   * True when so much of its silence was heard that it must be dead, or it said itself that it stops.
   * @param signOfLifeAtMs when something else was seen of it, on the monotonic clock
   */
  isDead(instance: string, signOfLifeAtMs: number): boolean;
  stop: Stop;
}

const TICK_MS = 250;
/** A tick that comes so late means that this process was stopped: what it didn't hear, it wasn't there to hear. */
const SLEPT_MS = 1000;

/** Listens until stopped. Nobody counts as dead before it was listened for long enough without a break. */
export async function watchLiveness(bus: Bus, clock: Clock): Promise<Liveness> {
  const heardAtMs = new Map<string, number>();
  const stopped = new Set<string>();
  let sinceMs = clock.monotonic();
  let lastTickMs = sinceMs;
  const stopListening = await bus.subscribe(serviceHeartbeats, ({ service, instance, status }) => {
    if (service !== "providers") return;
    if (status === "running") {
      heardAtMs.set(instance, clock.monotonic());
      stopped.delete(instance);
    } else stopped.add(instance);
  });
  const stopTicking = repeat(
    clock,
    TICK_MS,
    () => {
      const now = clock.monotonic();
      if (!bus.isConnected() || now - lastTickMs > TICK_MS + SLEPT_MS) sinceMs = now;
      lastTickMs = now;
    },
    () => {},
  );
  return {
    isDead(instance, signOfLifeAtMs) {
      const now = clock.monotonic();
      if (!bus.isConnected() || now - lastTickMs > TICK_MS + SLEPT_MS) return false;
      if (stopped.has(instance)) return true;
      return now - Math.max(sinceMs, heardAtMs.get(instance) ?? 0, signOfLifeAtMs) > DEAD_AFTER_MS;
    },
    async stop() {
      stopTicking();
      await stopListening();
    },
  };
}
