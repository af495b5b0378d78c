// The settings of the calls service.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

export const callsSettings = {
  ...commonSettings,
  GREENROOM_REPORT_WAIT_MS: setting.integer(
    "Time in ms for which a call record waits for the agents' measurements after the end of a session. Later measurements are added later.",
    5000,
    0,
    60_000,
  ),
  METRICS_LOOKBACK_DAYS: setting.integer(
    "Number of days after the end of a session in which late events still change its call record.",
    2,
    0,
    30,
  ),
  KPI_ROLLUP_ENABLED: setting.flag("Maintains the key figures of each day.", true),
  KPI_ROLLUP_INTERVAL_MS: setting.integer(
    "Minimum interval in ms between rebuilds of changed key figures.",
    30_000,
    100,
  ),
  KPI_LOOKBACK_DAYS: setting.integer(
    "Number of days for which key figures are updated and checked every hour; 1 is today only.",
    3,
    1,
    400,
  ),
};
export type CallsConfig = ConfigOf<typeof callsSettings>;

export const callSettingsOf = (config: CallsConfig) => ({
  reportWaitMs: config.GREENROOM_REPORT_WAIT_MS,
  metricsLookbackDays: config.METRICS_LOOKBACK_DAYS,
  kpis: config.KPI_ROLLUP_ENABLED,
  kpiIntervalMs: config.KPI_ROLLUP_INTERVAL_MS,
  kpiLookbackDays: config.KPI_LOOKBACK_DAYS,
});
