// A process's beat: it says every two seconds that it lives, and once that it stops.
import type { Bus } from "../bus/bus.ts";
import type { ServiceName } from "../contracts/fleet/pool.ts";
import { serviceBeats } from "../contracts/streams.ts";
import type { Clock } from "../runtime/clock.ts";

export const BEAT_MS = 2000;
/** Three beats missed: whoever is silent for this long counts as stopped. */
export const SILENT_MS = 3 * BEAT_MS;

export interface BeatOptions {
  readonly service: ServiceName;
  readonly instance: string;
  /** What is to be known although it runs; asked at each beat. */
  readonly trouble?: () => string | undefined;
}

/**
 * Starts to beat, at once and then every two seconds.
 *
 * The answer stops it and says `stopped`, so that health shows an orderly end at once; call it while the bus
 * is still open.
 */
export function startBeat(bus: Bus, clock: Clock, { service, instance, trouble }: BeatOptions): () => void {
  const say = (status: "running" | "stopped") => {
    const why = status === "running" ? trouble?.() : undefined;
    bus.announce(serviceBeats, {
      service,
      instance,
      pid: process.pid,
      status,
      ...(why === undefined ? {} : { why }),
    });
  };
  let cancel = () => {};
  const beat = () => {
    say("running");
    cancel = clock.after(BEAT_MS, beat);
  };
  beat();
  return () => {
    cancel();
    say("stopped");
  };
}
