// A process's beat: it says every two seconds that it lives, and once that it stops.
import type { Bus } from "../bus/bus.ts";
import type { ServiceName } from "../contracts/fleet/pool.ts";
import { serviceHeartbeats } from "../contracts/streams.ts";
import type { Clock } from "../runtime/clock.ts";

export const HEARTBEAT_MS = 2000;
/** Three beats missed: whoever is silent for this long counts as stopped. */
export const DEAD_AFTER_MS = 3 * HEARTBEAT_MS;

export interface HeartbeatOptions {
  readonly service: ServiceName;
  readonly instance: string;
  /** What is to be known although it runs; asked at each beat. */
  readonly degradedReason?: () => string | undefined;
}

/**
 * Starts to beat, at once and then every two seconds.
 *
 * The answer stops it and says `stopped`, so that health shows an orderly end at once; call it while the bus
 * is still open.
 */
export function startHeartbeat(
  bus: Bus,
  clock: Clock,
  { service, instance, degradedReason: trouble }: HeartbeatOptions,
): () => void {
  const say = (status: "running" | "stopped") => {
    const reason = status === "running" ? trouble?.() : undefined;
    bus.core.publishTransient(serviceHeartbeats, {
      service,
      instance,
      pid: process.pid,
      status,
      ...(reason === undefined ? {} : { reason }),
    });
  };
  let cancel = () => {};
  const beat = () => {
    say("running");
    cancel = clock.after(HEARTBEAT_MS, beat);
  };
  beat();
  return () => {
    cancel();
    say("stopped");
  };
}
