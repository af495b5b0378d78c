// Measures the load of a gateway: the lag of its event loop, and the usage of the store. Overload refuses starts.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";
import { startLagMeter } from "../../../libs/runtime/event-loop-lag.ts";

interface Load {
  readonly eventLoopLagMs: number;
  /** The used share, from 0 to 1, of the fuller one of the stream and the bucket of sessions. */
  readonly storeUsage: number;
}

export interface LoadMonitor {
  current(): Load;
  /** Measures from now on, until stopped. */
  watch(): Promise<Stop>;
}

const MEASURE_MS = 1000;
/** A store that is less than half full is asked for its usage in every fifth measurement. */
const NEARLY_FULL = 0.5;
const USAGE_EVERY = 5;

export function createLoadMonitor({ bus, clock }: { bus: Bus; clock: Clock }): LoadMonitor {
  let load: Load = { eventLoopLagMs: 0, storeUsage: 0 };
  return {
    current: () => load,
    async watch() {
      const lag = startLagMeter();
      let measurements = 0;
      const measure = async () => {
        load = { ...load, eventLoopLagMs: lag.read().medianMs };
        const isUsageDue = measurements % USAGE_EVERY === 0 || load.storeUsage >= NEARLY_FULL;
        measurements += 1;
        if (!isUsageDue) return;
        const usage = [await bus.admin.usageRatio(sessionEvents), await bus.admin.usageRatio(sessions)];
        load = { ...load, storeUsage: Math.max(...usage) };
      };
      await measure().catch(() => {});
      // While NATS is unavailable the last usage stays, and the start itself fails.
      const stopMeasuring = repeat(clock, MEASURE_MS, measure, () => {});
      return async () => {
        stopMeasuring();
        lag.stop();
      };
    },
  };
}
