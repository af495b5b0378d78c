// How a service lives on the bus: its settings, its connection to NATS, its beat, and its end in order.
import type { Bus } from "../bus/bus.ts";
import { type BusHooks, instrumentedBus } from "../bus/instrumented-bus.ts";
import { connectNatsBus } from "../bus/nats/nats-bus.ts";
import type { ServiceName } from "../contracts/fleet/pool.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { allSettingNames, type commonSettings } from "../runtime/common-settings.ts";
import { type ConfigOf, readConfig, type Settings } from "../runtime/config.ts";
import { type Running, runService, type ServiceContext } from "../runtime/run-service.ts";
import { startHeartbeat } from "./heartbeat.ts";

export interface BusServiceContext<S extends Settings> extends ServiceContext {
  readonly config: ConfigOf<S>;
  readonly clock: Clock;
  /**
   * Connects to NATS; to be called once, when all else that can be wrong with the settings is known. A connection that
   * is lost for good ends the process.
   */
  connect(hooks?: BusHooks): Promise<Bus>;
}

export interface RunningOnBus extends Running {
  /** What is to be known although it runs; asked at each beat. */
  readonly degradedReason?: () => string | undefined;
}

/**
 * Runs one service that reads `settings` from the environment and works on the bus.
 *
 * It beats from when it has started until its work has stopped: others take up what it leaves at the beat's end. The
 * bus is closed last.
 */
export async function runOnBus<S extends Settings & typeof commonSettings>(
  service: ServiceName,
  { settings, stopMs }: { readonly settings: S; readonly stopMs: number },
  start: (context: BusServiceContext<S>) => Promise<RunningOnBus>,
): Promise<void> {
  await runService(service, { stopMs }, async (context) => {
    const { log, metrics, instance, quit } = context;
    const config = readConfig(settings, process.env, allSettingNames);
    const common = config as ConfigOf<typeof commonSettings>;
    let bus: Bus | undefined;
    const connect = async (hooks?: BusHooks) => {
      const connected = await connectNatsBus({
        url: common.NATS_URL,
        name: instance,
        replicas: common.GREENROOM_REPLICAS,
        log,
        onLost: (error) => quit(`NATS is lost: ${error}`, 1),
      });
      bus = instrumentedBus(connected, metrics, hooks);
      return bus;
    };
    const running = await start({ ...context, config, clock: systemClock, connect });
    if (bus === undefined) throw new Error(`the ${service} never connected to NATS`);
    const open: Bus = bus;
    const { degradedReason: trouble } = running;
    const stopBeat = startHeartbeat(open, systemClock, {
      service,
      instance,
      ...(trouble === undefined ? {} : { degradedReason: trouble }),
    });
    return {
      async stop() {
        try {
          await running.stop();
        } finally {
          stopBeat();
          await open.close();
        }
      },
    };
  });
}
