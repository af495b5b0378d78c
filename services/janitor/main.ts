// Runs one janitor on settings from the environment.
import { measuredBus } from "../../libs/bus/measured-bus.ts";
import { connectNatsBus } from "../../libs/bus/nats-bus.ts";
import { startBeat } from "../../libs/fleet/beat.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { systemClock } from "../../libs/process/clock.ts";
import { allSettingNames } from "../../libs/process/common-settings.ts";
import { readConfig } from "../../libs/process/config.ts";
import { runService } from "../../libs/process/run.ts";
import { janitorSettings } from "./config.ts";
import { startJanitor } from "./janitor.ts";

await runService("janitor", { stopMs: 10_000 }, async ({ log, metrics, instance, quit }) => {
  const config = readConfig(janitorSettings, process.env, allSettingNames);
  const connected = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => quit(`NATS is lost: ${error}`, 1),
  });
  const bus = measuredBus(connected, metrics);
  const janitor = await startJanitor({
    bus,
    clock: systemClock,
    log,
    livekit: connectLiveKit(config),
    settings: {
      sweepMs: config.GREENROOM_SWEEP_MS,
      keepEndedMs: config.GREENROOM_KEEP_ENDED_MS,
      aliveMs: config.GREENROOM_ALIVE_MS,
    },
  });
  const stopBeat = startBeat(bus, systemClock, { service: "janitor", instance });
  return {
    async stop() {
      stopBeat();
      await janitor.stop();
      await bus.close();
    },
  };
});
