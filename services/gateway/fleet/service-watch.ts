// Watches the services by their heartbeats, and LiveKit by requests.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { ServiceHealth } from "../../../libs/contracts/fleet/http.ts";
import type { ServiceHeartbeat, ServiceName } from "../../../libs/contracts/fleet/pool.ts";
import { serviceHeartbeats } from "../../../libs/contracts/streams.ts";
import { DEAD_AFTER_MS } from "../../../libs/fleet/heartbeat.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";
import type { StoreHealth } from "../http/store-health.ts";

const CHECK_LIVEKIT_MS = 10_000;

export interface ServiceWatch {
  health(service: ServiceName): ServiceHealth;
  stop: Stop;
}

interface Seen {
  readonly heartbeat: ServiceHeartbeat;
  readonly atMs: number;
}

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly livekit: LiveKit | undefined;
  readonly storeHealth: StoreHealth;
}

/** Watches until stopped. Returns after the first check of LiveKit. */
export async function watchServices({ bus, clock, livekit, storeHealth }: Deps): Promise<ServiceWatch> {
  const seen = new Map<string, Seen>();
  const stopListening = await bus.core.subscribe(serviceHeartbeats, (heartbeat) => {
    seen.set(`${heartbeat.service}/${heartbeat.instance}`, { heartbeat, atMs: clock.monotonic() });
  });
  let livekitFault: string | undefined;
  const checkLiveKit = async () => {
    livekitFault = await livekit?.rooms.list().then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
  };
  await checkLiveKit();
  const stopChecking = repeat(clock, CHECK_LIVEKIT_MS, checkLiveKit, () => {});

  const heartbeatsOf = (service: ServiceName): ServiceHeartbeat[] => {
    const oldestMs = clock.monotonic() - DEAD_AFTER_MS;
    for (const [key, { atMs }] of seen) if (atMs < oldestMs) seen.delete(key);
    return [...seen.values()].map(({ heartbeat }) => heartbeat).filter((each) => each.service === service);
  };
  return {
    health(service) {
      const said = sumUp(heartbeatsOf(service));
      if (service === "nats") return natsHealth(bus.isConnected(), storeHealth.lastError(), said);
      if (service === "livekit") return livekitHealth(livekit, livekitFault, said);
      return said;
    },
    async stop() {
      stopChecking();
      await stopListening();
    },
  };
}

/** Sums up the processes of one service, which is running while any of them is. */
function sumUp(heartbeats: readonly ServiceHeartbeat[]): ServiceHealth {
  const running = heartbeats.filter(({ status }) => status === "running");
  if (running.length > 0) {
    const reason = running.find((each) => each.reason !== undefined)?.reason;
    return { status: "running", instances: running.length, ...(reason === undefined ? {} : { reason }) };
  }
  const worst =
    heartbeats.find(({ status }) => status === "failed") ??
    heartbeats.find(({ status }) => status === "disabled");
  if (worst === undefined) return { status: "stopped", instances: 0 };
  return {
    status: worst.status,
    instances: 0,
    ...(worst.reason === undefined ? {} : { reason: worst.reason }),
  };
}

function natsHealth(isConnected: boolean, lastError: string | undefined, said: ServiceHealth): ServiceHealth {
  const failed = (reason: string): ServiceHealth => ({ status: "failed", instances: 0, reason });
  if (!isConnected) return failed("The gateway has lost its connection to NATS and is reconnecting.");
  if (lastError !== undefined) return failed(lastError);
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
        said.reason ?? "LiveKit is not configured. Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
    };
  }
  if (fault !== undefined) return { status: "failed", instances: 0, reason: fault };
  if (livekit.isSimulated)
    return { status: "running", instances: 1, reason: "Rooms are simulated (LIVEKIT_MOCK_MODE)." };
  return { status: "running", instances: Math.max(1, said.instances) };
}
