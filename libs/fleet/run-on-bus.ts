// Runs a service on the bus: reads its settings, connects it to NATS, sends its heartbeat, and stops it in order.
import type { Bus } from "../bus/bus.ts";
import { type BusHooks, hookedBus, instrumentedBus } from "../bus/instrumented-bus.ts";
import { connectNatsBus } from "../bus/nats/nats-bus.ts";
import type { ServiceName } from "../contracts/fleet/pool.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { CommonConfig, commonSettings } from "../runtime/common-settings.ts";
import { type ConfigOf, readConfig, type Settings } from "../runtime/config.ts";
import { type Running, runService, type ServiceContext } from "../runtime/run-service.ts";
import { startHeartbeat } from "./heartbeat.ts";

interface BusServiceContext<S extends Settings> extends ServiceContext {
  readonly config: ConfigOf<S>;
  readonly clock: Clock;
  /**
   * Connects to NATS. Call it once, after all other settings are validated. A connection that is lost for good ends the
   * process.
   */
  connect(hooks?: BusHooks): Promise<Bus>;
}

export interface RunningOnBus extends Running {
  /** Returns a problem that health shows although the service runs. Called at each heartbeat. */
  readonly degradedReason?: () => string | undefined;
}

/** A service that reads `settings` from the environment and works on the bus. */
export interface Service<S extends Settings & typeof commonSettings = typeof commonSettings> {
  readonly name: ServiceName;
  readonly settings: S;
  /** How long a stop may take, in ms. It applies before the settings are read. */
  stopMs(env: Readonly<Record<string, string | undefined>>): number;
  start(context: BusServiceContext<S>): Promise<RunningOnBus>;
}

/** How long most services may take to stop, in ms. */
export const STOP_MS = 10_000;

/**
 * Runs one service in this process.
 *
 * The heartbeat continues until the service's work has stopped, because other instances take over its work when the
 * heartbeat ends. The bus is closed last.
 */
export async function runOnBus<S extends Settings & typeof commonSettings>(
  service: Service<S>,
): Promise<void> {
  await runService(service.name, { stopMs: service.stopMs(process.env) }, async (context) => {
    const { instance } = context;
    const config = readConfig(service.settings, process.env);
    let bus: Bus | undefined;
    const connect = async (hooks: BusHooks = {}) => {
      bus = await connectBus(context, config as unknown as CommonConfig);
      return hookedBus(bus, hooks);
    };
    const running = await service.start({ ...context, config, clock: systemClock, connect });
    if (bus === undefined) throw new Error(`the ${service.name} never connected to NATS`);
    const open: Bus = bus;
    const { degradedReason } = running;
    const stopHeartbeat = startHeartbeat(open, systemClock, {
      service: service.name,
      instance,
      ...(degradedReason === undefined ? {} : { degradedReason }),
    });
    return {
      health() {
        const reason = degradedReason?.();
        const health = {
          status: "running" as const,
          restarts: 0,
          ...(reason === undefined ? {} : { reason }),
        };
        return { isConnected: open.isConnected(), roles: { [service.name]: health } };
      },
      async stop() {
        try {
          await running.stop();
        } finally {
          stopHeartbeat();
          await open.close();
        }
      },
    };
  });
}

/** Connects this process to NATS, and measures what goes over the connection. */
export async function connectBus(
  { log, metrics, instance, quit }: ServiceContext,
  config: Pick<CommonConfig, "NATS_URL" | "GREENROOM_REPLICAS">,
): Promise<Bus> {
  const bus = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => quit(`lost the connection to NATS: ${error}`, 1),
  });
  return instrumentedBus(bus, metrics);
}
