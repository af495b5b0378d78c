// The webhooks service as a role: what it starts from its settings, alone in a process or with other roles.
import { randomBytes } from "node:crypto";
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { webhooksSettings } from "./config.ts";
import { sendTo } from "./deliver.ts";
import { countDeliveries } from "./delivery-log.ts";
import { startWebhooks } from "./webhooks.ts";

export const webhooksRole: Service<typeof webhooksSettings> = {
  name: "webhooks",
  settings: webhooksSettings,
  stopMs: () => STOP_MS,
  start: async ({ config, log, clock, metrics, instance, connect }) =>
    startWebhooks({
      bus: await connect(),
      clock,
      log,
      instance,
      nextWriteId: () => randomBytes(9).toString("base64url"),
      count: countDeliveries(metrics),
      send: sendTo(config.GREENROOM_WEBHOOK_ALLOW, config.GREENROOM_WEBHOOK_TIMEOUT_MS),
    }),
};
