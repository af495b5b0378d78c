// The settings of the privacy service.
import { receiptSettings } from "../../libs/auth/receipts.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { retentionDays } from "./retention-days.ts";

export const privacySettings = {
  ...commonSettings,
  ...receiptSettings,
  RETENTION_CLEANUP_ENABLED: setting.flag(
    "Removes data that is older than RETENTION_DAYS. Off: only the stores' own time limits remove data by age.",
  ),
  RETENTION_CLEANUP_INTERVAL_MS: setting.integer(
    "How often old data is looked for.",
    24 * 60 * 60 * 1000,
    1000,
  ),
  RETENTION_DAYS: retentionDays,
  GREENROOM_ERASURE_SETTLE_MS: setting.integer(
    "How long the removal of a tenant's or a user's data waits for late writes before it searches all stores once more. It must be longer than a host may hang, and than key figures take to be rebuilt.",
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
