// The recorder's settings.
import { receiptSettings } from "../../libs/auth/receipts.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { webhookSettings } from "../../libs/runtime/webhook-settings.ts";
import { retentionDays } from "../privacy/retention-days.ts";

export const recorderSettings = {
  ...commonSettings,
  ...webhookSettings,
  ...receiptSettings,
  RETENTION_CLEANUP_ENABLED: setting.flag(
    "Removes what is older than RETENTION_DAYS says. Off, nothing is removed by age but what a store forgets itself.",
  ),
  RETENTION_CLEANUP_INTERVAL_MS: setting.integer("How often that is done.", 24 * 60 * 60 * 1000, 1000),
  RETENTION_DAYS: retentionDays,
  GREENROOM_ERASURE_SETTLE_MS: setting.integer(
    "How long the removal of a tenant's or a user's data waits for what is written late, before it goes through all stores once more. Longer than a host that hung may take, and than key figures are made anew.",
    40_000,
    100,
  ),
  GREENROOM_WEBHOOK_TIMEOUT_MS: setting.integer(
    "How long a webhook may take to be reached and to answer, in ms.",
    10_000,
    100,
    60_000,
  ),
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
export type RecorderConfig = ConfigOf<typeof recorderSettings>;

export const callSettingsOf = (config: RecorderConfig) => ({
  reportWaitMs: config.GREENROOM_REPORT_WAIT_MS,
  metricsLookbackDays: config.METRICS_LOOKBACK_DAYS,
  kpis: config.KPI_ROLLUP_ENABLED,
  kpiIntervalMs: config.KPI_ROLLUP_INTERVAL_MS,
  kpiLookbackDays: config.KPI_LOOKBACK_DAYS,
});
