// The calls service: builds call records from ended sessions, and daily KPIs from call records.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { callRecording } from "../../libs/contracts/buckets.ts";
import { CALL_RECORDING_KEY } from "../../libs/contracts/calls/call.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";
import { KpiWriter } from "./kpi-writer.ts";
import { recordCalls } from "./record-calls.ts";

export interface CallsDeps extends ServiceDeps {
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
  /** Why the service is degraded; undefined when it is not. */
  degradedReason(): string | undefined;
  stop(): Promise<void>;
}

/** A smaller lag is normal. */
const LAG_MS = 60_000;

export async function startCalls(deps: CallsDeps): Promise<Calls> {
  const { bus, clock, log, instance, settings } = deps;
  // First, since a janitor may be about to purge sessions that have no call record yet.
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
        await kpis
          .refresh()
          .catch((error: unknown) => log.debug({ error }, "failed to refresh the KPIs at the stop"));
    },
  };
}

/**
 * Stores the mark that makes janitors purge sessions only after their call is recorded. Only its presence counts, so
 * instances may overwrite each other's.
 */
export async function advertiseCallRecording(bus: Bus, clock: Clock, by: string): Promise<void> {
  const { revision } = await getOwn(bus, callRecording, CALL_RECORDING_KEY);
  await bus.kv.update(callRecording, { v: 1 as const, at: isoNow(clock), by }, revision);
}
