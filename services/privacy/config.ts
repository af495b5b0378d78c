// The settings of the privacy service.
import { receiptSettings } from "../../libs/auth/receipts.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { retentionDays } from "./retention-days.ts";

export const privacySettings = {
  ...commonSettings,
  ...receiptSettings,
  RETENTION_CLEANUP_ENABLED: setting.flag(
    "Deletes data that is older than RETENTION_DAYS. If false, only the age limits of the streams and buckets delete data.",
  ),
  RETENTION_CLEANUP_INTERVAL_MS: setting.integer(
    "Interval in ms between searches for old data.",
    24 * 60 * 60 * 1000,
    1000,
  ),
  RETENTION_DAYS: retentionDays,
  GREENROOM_ERASURE_SETTLE_MS: setting.integer(
    "Time in ms for which the deletion of a tenant's or a user's data waits for late writes before it searches all stores again. It must be longer than a host can hang, and longer than a rebuild of key figures.",
    40_000,
    100,
  ),
};
export type PrivacyConfig = ConfigOf<typeof privacySettings>;

export const privacySettingsOf = (config: PrivacyConfig) => ({
  settleMs: config.GREENROOM_ERASURE_SETTLE_MS,
  /** Undefined: nothing is removed by age. */
  retention: config.RETENTION_CLEANUP_ENABLED
    ? {
        intervalMs: config.RETENTION_CLEANUP_INTERVAL_MS,
        days: config.RETENTION_DAYS,
        tenant: config.GREENROOM_TENANT,
      }
    : undefined,
});
