// Which services live: by their beats, and LiveKit by asking it now and then.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { ServiceHealth } from "../../../libs/contracts/fleet/http.ts";
import type { ServiceHeartbeat, ServiceName } from "../../../libs/contracts/fleet/pool.ts";
import { serviceHeartbeats } from "../../../libs/contracts/streams.ts";
import { DEAD_AFTER_MS } from "../../../libs/fleet/heartbeat.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";
import type { StoreHealth } from "../http/store-health.ts";

const ASK_LIVEKIT_MS = 10_000;

export interface ServiceWatch {
  health(service: ServiceName): ServiceHealth;
  stop: Stop;
}

interface Seen {
  readonly beat: ServiceHeartbeat;
  readonly atMs: number;
}

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly livekit: LiveKit | undefined;
  readonly storeHealth: StoreHealth;
}

/** Listens until stopped. Answers when LiveKit was asked once. */
export async function watchServices({ bus, clock, livekit, storeHealth }: Deps): Promise<ServiceWatch> {
  const seen = new Map<string, Seen>();
  const stopListening = await bus.core.subscribe(serviceHeartbeats, (beat) => {
    seen.set(`${beat.service}/${beat.instance}`, { beat, atMs: clock.monotonic() });
  });
  let livekitFault: string | undefined;
  const askLiveKit = async () => {
    livekitFault = await livekit?.rooms.list().then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
  };
  await askLiveKit();
  const stopAsking = repeat(clock, ASK_LIVEKIT_MS, askLiveKit, () => {});

  const beatsOf = (service: ServiceName): ServiceHeartbeat[] => {
    const oldestMs = clock.monotonic() - DEAD_AFTER_MS;
    for (const [key, { atMs }] of seen) if (atMs < oldestMs) seen.delete(key);
    return [...seen.values()].map(({ beat }) => beat).filter((beat) => beat.service === service);
  };
  return {
    health(service) {
      const said = sumUp(beatsOf(service));
      if (service === "nats") return natsHealth(bus.isConnected(), storeHealth.lastError(), said);
      if (service === "livekit") return livekitHealth(livekit, livekitFault, said);
      return said;
    },
    async stop() {
      stopAsking();
      await stopListening();
    },
  };
}

/** Several processes of one service as one: it runs while any does. */
function sumUp(beats: readonly ServiceHeartbeat[]): ServiceHealth {
  const running = beats.filter(({ status }) => status === "running");
  if (running.length > 0) {
    const reason = running.find((beat) => beat.reason !== undefined)?.reason;
    return { status: "running", instances: running.length, ...(reason === undefined ? {} : { reason }) };
  }
  const worst =
    beats.find(({ status }) => status === "failed") ?? beats.find(({ status }) => status === "disabled");
  if (worst === undefined) return { status: "stopped", instances: 0 };
  return {
    status: worst.status,
    instances: 0,
    ...(worst.reason === undefined ? {} : { reason: worst.reason }),
  };
}

function natsHealth(isConnected: boolean, trouble: string | undefined, said: ServiceHealth): ServiceHealth {
  const failed = (reason: string): ServiceHealth => ({ status: "failed", instances: 0, reason });
  if (!isConnected) return failed("This gateway has lost its connection and tries to get it back.");
  if (trouble !== undefined) return failed(trouble);
  return { status: "running", instances: Math.max(1, said.instances) };
}

function livekitHealth(
  livekit: LiveKit | undefined,
  fault: string | undefined,
  said: ServiceHealth,
): ServiceHealth {
  if (livekit === undefined) {
    return {
      status: "disabled",
      instances: 0,
      reason:
        said.reason ?? "No LiveKit is configured: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
    };
  }
  if (fault !== undefined) return { status: "failed", instances: 0, reason: fault };
  if (livekit.isSimulated)
    return { status: "running", instances: 1, reason: "Rooms are simulated (LIVEKIT_MOCK_MODE)." };
  return { status: "running", instances: Math.max(1, said.instances) };
}
