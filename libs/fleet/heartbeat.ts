// The heartbeat of a process: published every two seconds, and once at its stop.
import type { Bus } from "../bus/bus.ts";
import type { ServiceName } from "../contracts/fleet/pool.ts";
import { serviceHeartbeats } from "../contracts/streams.ts";
import type { Clock } from "../runtime/clock.ts";
import { greenroomVersion } from "../runtime/version.ts";

export const HEARTBEAT_MS = 2000;
/** After three missed heartbeats, a process counts as dead. */
export const DEAD_AFTER_MS = 3 * HEARTBEAT_MS;

export interface HeartbeatOptions {
  readonly service: ServiceName;
  readonly instance: string;
  /** Why the process is degraded; called at each heartbeat. */
  readonly degradedReason?: () => string | undefined;
}

/**
 * Publishes a heartbeat at once, and then every two seconds.
 *
 * The returned function stops it and publishes `stopped`, so that health shows an orderly stop at once. Call it while
 * the bus is open.
 */
export function startHeartbeat(
  bus: Bus,
  clock: Clock,
  { service, instance, degradedReason }: HeartbeatOptions,
): () => void {
  const publish = (status: "running" | "stopped") => {
    const reason = status === "running" ? degradedReason?.() : undefined;
    bus.core.publishTransient(serviceHeartbeats, {
      service,
      instance,
      pid: process.pid,
      status,
      version: greenroomVersion,
      ...(reason === undefined ? {} : { reason }),
    });
  };
  let cancel = () => {};
  const next = () => {
    publish("running");
    cancel = clock.after(HEARTBEAT_MS, next, "coarse");
  };
  next();
  return () => {
    cancel();
    publish("stopped");
  };
}
