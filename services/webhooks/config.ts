// The settings of the webhooks service.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { setting } from "../../libs/runtime/config.ts";
import { webhookSettings } from "../../libs/runtime/webhook-settings.ts";

export const webhooksSettings = {
  ...commonSettings,
  ...webhookSettings,
  GREENROOM_WEBHOOK_TIMEOUT_MS: setting.integer(
    "Maximum time in ms to connect to a webhook endpoint and get its answer.",
    10_000,
    100,
    60_000,
  ),
};
