// Runs one recorder on settings from the environment.
import { randomBytes } from "node:crypto";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { startDeletions } from "../privacy/privacy.ts";
import { sendTo } from "../webhooks/deliver.ts";
import { countDeliveries } from "../webhooks/delivery-log.ts";
import { startWebhooks } from "../webhooks/webhooks.ts";
import { startRecorder } from "./calls.ts";
import { callSettingsOf, recorderSettings } from "./config.ts";

const run = { settings: recorderSettings, stopMs: 10_000 };

await runOnBus("recorder", run, async ({ config, log, clock, metrics, instance, connect }) => {
  const nextWriteId = () => randomBytes(9).toString("base64url");
  const common = { bus: await connect(), clock, log, instance, nextWriteId };
  const recorder = await startRecorder({ ...common, settings: callSettingsOf(config) });
  const webhooks = await startWebhooks({
    ...common,
    count: countDeliveries(metrics),
    send: sendTo(config.GREENROOM_WEBHOOK_ALLOW, config.GREENROOM_WEBHOOK_TIMEOUT_MS),
  });
  const stopDeletions = await startDeletions(config, common);
  return {
    degradedReason: () => recorder.degradedReason(),
    async stop() {
      await Promise.all([webhooks.stop(), recorder.stop(), stopDeletions()]);
    },
  };
});
