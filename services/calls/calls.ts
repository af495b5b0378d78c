// The calls service: builds call records from ended sessions, and the key figures of each day from those.
import type { Bus } from "../../libs/bus/bus.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { advertiseCallRecording } from "./advertise.ts";
import { KpiWriter } from "./kpi-writer.ts";
import { recordCalls } from "./record-calls.ts";

export interface CallsDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly settings: {
    readonly reportWaitMs: number;
    readonly metricsLookbackDays: number;
    readonly kpis: boolean;
    readonly kpiIntervalMs: number;
    readonly kpiLookbackDays: number;
  };
}

export interface Calls {
  /** What health shows of it although it runs; undefined: all is well. */
  degradedReason(): string | undefined;
  stop(): Promise<void>;
}

/** Less is no news. */
const LAG_MS = 60_000;

export async function startCalls(deps: CallsDeps): Promise<Calls> {
  const { bus, clock, log, instance, settings } = deps;
  // Before anything is recorded: a janitor may be about to purge what is to be recorded.
  await advertiseCallRecording(bus, clock, instance);
  const kpis = new KpiWriter({
    bus,
    clock,
    log,
    settings: { intervalMs: settings.kpiIntervalMs, lookbackDays: settings.kpiLookbackDays },
  });
  const calls = await recordCalls({
    bus,
    clock,
    log,
    settings: { reportWaitMs: settings.reportWaitMs, lookbackDays: settings.metricsLookbackDays },
    onRecorded: (call) => kpis.note(call),
  });
  const stopKpis = settings.kpis ? kpis.start() : () => {};
  return {
    degradedReason() {
      const lagMs = calls.lagMs();
      if (lagMs < LAG_MS) return undefined;
      return `Calls are recorded ${Math.round(lagMs / 1000)} s after their end.`;
    },
    async stop() {
      stopKpis();
      await calls.stop();
      if (settings.kpis)
        await kpis.refresh().catch((error: unknown) => log.debug({ error }, "the key figures stay behind"));
    },
  };
}
