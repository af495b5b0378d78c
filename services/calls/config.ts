// The settings of the calls service.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

export const callsSettings = {
  ...commonSettings,
  GREENROOM_REPORT_WAIT_MS: setting.integer(
    "How long after a session's end its call record waits for what the agents measured; what comes later is put in later.",
    5000,
    0,
    60_000,
  ),
  METRICS_LOOKBACK_DAYS: setting.integer(
    "How many days after a session's end news of it may still change its call record.",
    2,
    0,
    30,
  ),
  KPI_ROLLUP_ENABLED: setting.flag("Keeps the key figures of each day.", true),
  KPI_ROLLUP_INTERVAL_MS: setting.integer(
    "How often the key figures of the days that changed are made again.",
    30_000,
    100,
  ),
  KPI_LOOKBACK_DAYS: setting.integer(
    "How many days back the key figures are kept up to date, and are looked over each hour; 1 is today alone.",
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
