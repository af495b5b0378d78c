// Runs one dispatcher on settings from the environment.
import { measuredBus } from "../../libs/bus/measured-bus.ts";
import { connectNatsBus } from "../../libs/bus/nats-bus.ts";
import { startBeat } from "../../libs/fleet/beat.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { systemClock } from "../../libs/process/clock.ts";
import { allSettingNames } from "../../libs/process/common-settings.ts";
import { readConfig } from "../../libs/process/config.ts";
import { runService } from "../../libs/process/run.ts";
import { deadlinesOf, dispatcherSettings } from "./config.ts";
import { startDispatcher } from "./dispatcher.ts";
import { countSessions } from "./session-metrics.ts";

await runService("dispatcher", { stopMs: 10_000 }, async ({ log, metrics, instance, quit }) => {
  const config = readConfig(dispatcherSettings, process.env, allSettingNames);
  const connected = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => quit(`NATS is lost: ${error}`, 1),
  });
  const bus = measuredBus(connected, metrics, countSessions(metrics));
  const dispatcher = await startDispatcher({
    bus,
    clock: systemClock,
    log,
    livekit: connectLiveKit(config),
    instance,
    defaults: { deadlineMs: deadlinesOf(config), maxAttempts: config.GREENROOM_MAX_ATTEMPTS },
  });
  const stopBeat = startBeat(bus, systemClock, { service: "dispatcher", instance });
  return {
    async stop() {
      stopBeat();
      await dispatcher.stop();
      await bus.close();
    },
  };
});
