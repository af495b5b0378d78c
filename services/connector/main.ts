// Runs one connector on settings from the environment.
import { connectNatsBus } from "../../libs/bus/nats-bus.ts";
import { startBeat } from "../../libs/fleet/beat.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { systemClock } from "../../libs/process/clock.ts";
import { allSettingNames } from "../../libs/process/common-settings.ts";
import { readConfig } from "../../libs/process/config.ts";
import { runService } from "../../libs/process/run.ts";
import { connectorSettings } from "./config.ts";
import { startConnector } from "./connector.ts";
import { createProviders } from "./providers.ts";

await runService("connector", { stopMs: 10_000 }, async ({ log, instance, quit }) => {
  const config = readConfig(connectorSettings, process.env, allSettingNames);
  const bus = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => quit(`NATS is lost: ${error}`, 1),
  });
  const connector = await startConnector({
    bus,
    clock: systemClock,
    log,
    instance,
    providers: createProviders(config, { clock: systemClock, livekit: connectLiveKit(config) }),
    limits: {
      takeMs: config.GREENROOM_LIVEKIT_TAKE_MS,
      userLeftMs: config.GREENROOM_USER_LEFT_MS,
      observeMs: config.GREENROOM_OBSERVE_MS,
    },
  });
  const stopBeat = startBeat(bus, systemClock, { service: "connector", instance });
  return {
    async stop() {
      // What is in hand is finished first: at the beat's end others take up what is left.
      await connector.stop();
      stopBeat();
      await bus.close();
    },
  };
});
