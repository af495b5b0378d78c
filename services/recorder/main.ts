// Runs one recorder on settings from the environment.
import { randomBytes } from "node:crypto";
import { measuredBus } from "../../libs/bus/measured-bus.ts";
import { connectNatsBus } from "../../libs/bus/nats-bus.ts";
import { startBeat } from "../../libs/fleet/beat.ts";
import { systemClock } from "../../libs/process/clock.ts";
import { allSettingNames } from "../../libs/process/common-settings.ts";
import { readConfig } from "../../libs/process/config.ts";
import { runService } from "../../libs/process/run.ts";
import { recorderSettings } from "./config.ts";
import { startDeletions } from "./erasure/deletions.ts";
import { startRecorder } from "./recorder.ts";
import { sendTo } from "./webhooks/deliver.ts";
import { startWebhooks } from "./webhooks/webhooks.ts";

await runService("recorder", { stopMs: 10_000 }, async ({ log, metrics, instance, quit }) => {
  const config = readConfig(recorderSettings, process.env, allSettingNames);
  const connected = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => quit(`NATS is lost: ${error}`, 1),
  });
  const bus = measuredBus(connected, metrics);
  const recorder = await startRecorder({
    bus,
    clock: systemClock,
    log,
    instance,
    settings: {
      reportWaitMs: config.GREENROOM_REPORT_WAIT_MS,
      metricsLookbackDays: config.METRICS_LOOKBACK_DAYS,
      kpis: config.KPI_ROLLUP_ENABLED,
      kpiIntervalMs: config.KPI_ROLLUP_INTERVAL_MS,
      kpiLookbackDays: config.KPI_LOOKBACK_DAYS,
    },
  });
  const webhooks = await startWebhooks({
    bus,
    clock: systemClock,
    log,
    instance,
    send: sendTo(config.GREENROOM_WEBHOOK_ALLOW, config.GREENROOM_WEBHOOK_TIMEOUT_MS),
    nextOpId: () => randomBytes(9).toString("base64url"),
  });
  const stopDeletions = await startDeletions(config, {
    bus,
    clock: systemClock,
    log,
    instance,
    nextOpId: () => randomBytes(9).toString("base64url"),
  });
  const stopBeat = startBeat(bus, systemClock, {
    service: "recorder",
    instance,
    trouble: () => recorder.trouble(),
  });
  return {
    async stop() {
      stopBeat();
      await Promise.all([webhooks.stop(), recorder.stop(), stopDeletions()]);
      await bus.close();
    },
  };
});
