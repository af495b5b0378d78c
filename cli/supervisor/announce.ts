// Tells the fleet what the supervisor knows of its children, as long as it lives.
import type { Bus } from "../../libs/bus/bus.ts";
import { connectNatsBus } from "../../libs/bus/nats/nats-bus.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import { serviceHeartbeats } from "../../libs/contracts/streams.ts";
import { HEARTBEAT_MS } from "../../libs/fleet/heartbeat.ts";
import { repeat, systemClock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { Supervisor } from "./supervisor.ts";

const CLOSE_MS = 1000;

/**
 * Connects when NATS is there and then beats. Nothing waits for it: a NATS that can't be reached holds up
 * no child.
 *
 * @returns what ends it, within a second
 */
export function publishSupervision(supervisor: Supervisor, url: string, replicas: number, log: Log) {
  let bus: Bus | undefined;
  let isStopped = false;
  connectNatsBus({
    url,
    name: "greenroom-supervisor",
    replicas,
    log,
    onLost: (error) => {
      if (!isStopped) log.warn({ error }, "the supervisor lost NATS; health can't show its view any more");
    },
  }).then(
    (connected) => {
      bus = connected;
      if (isStopped) void connected.close().catch(() => {});
    },
    (error: unknown) => {
      if (!isStopped) log.warn(`the supervisor can't reach NATS: ${messageOf(error)}`);
    },
  );
  const tell = () => {
    for (const beat of supervisor.beats()) bus?.core.publishTransient(serviceHeartbeats, beat);
  };
  const cancel = repeat(systemClock, HEARTBEAT_MS / 2, tell, (error) => {
    log.debug({ error }, "a beat of the supervisor was not said");
  });
  return async (): Promise<void> => {
    isStopped = true;
    cancel();
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    await Promise.race([bus?.close().catch(() => {}), late]);
  };
}
