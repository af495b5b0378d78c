// Runs one connector on settings from the environment.
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { roomProviderOf, startRuntime } from "../handoffs/handoffs.ts";
import { connectorSettings, handoffSettingsOf, launchSettingsOf, stopMsOf } from "./config.ts";
import { createProviders } from "./create-drivers.ts";
import { startConnector } from "./providers.ts";
import { setUpRunner } from "./runner-settings.ts";

const run = { settings: connectorSettings, stopMs: stopMsOf(process.env) };

await runOnBus("connector", run, async ({ config, log, clock, metrics, instance, connect }) => {
  const setUp = setUpRunner(config, config.GREENROOM_PROVIDERS, log);
  const bus = await connect();
  const sessions = await watchSessions(bus, clock);
  const hosts = await watchHosts(bus);
  const common = { bus, clock, log, instance, sessions, livekit: connectLiveKit(config) };
  const connector = await startConnector({
    ...common,
    ...launchSettingsOf(config),
    metrics,
    providers: createProviders(config, { ...common, runtime: setUp }),
  });
  const runtime = await startRuntime({
    ...common,
    ...handoffSettingsOf(config),
    hosts,
    configuredFor: (profile) => roomProviderOf(config.GREENROOM_PROVIDERS, profile),
  });
  return {
    async stop() {
      await runtime.stop();
      await connector.stop();
      await hosts.stop();
      await sessions.stop();
    },
  };
});
