// Runs one connector on settings from the environment.
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { connectorSettings } from "./config.ts";
import { startConnector } from "./connector.ts";
import { lastRingsMs } from "./last-rings.ts";
import { createProviders } from "./providers.ts";
import { roomProviderOf, startRuntime } from "./runtime.ts";
import { setUpRuntime } from "./runtime-settings.ts";

/** Past the last telephone that rings, for what follows it. */
const AFTER_RINGING_MS = 10_000;
// Settings that can't be read end the start below, before any of this counts.
const { GREENROOM_DRAIN_MS: drain, GREENROOM_SIP_RING_S: ring } = connectorSettings;
const stopMs =
  AFTER_RINGING_MS +
  lastRingsMs(
    Number(process.env.GREENROOM_SIP_RING_S ?? ring.default),
    Number(process.env.GREENROOM_DRAIN_MS ?? drain.default),
  );

const run = { settings: connectorSettings, stopMs };

await runOnBus("connector", run, async ({ config, log, clock, metrics, instance, connect }) => {
  const setUp = setUpRuntime(config, config.GREENROOM_PROVIDERS, log);
  const bus = await connect();
  const sessions = await watchSessions(bus, clock);
  const hosts = await watchHosts(bus);
  const common = { bus, clock, log, instance, sessions, livekit: connectLiveKit(config) };
  const connector = await startConnector({
    ...common,
    metrics,
    providers: createProviders(config, { ...common, runtime: setUp }),
    limits: {
      takeMs: config.GREENROOM_LIVEKIT_TAKE_MS,
      userLeftMs: config.GREENROOM_USER_LEFT_MS,
      observeMs: config.GREENROOM_OBSERVE_MS,
    },
    lastRingsMs: lastRingsMs(config.GREENROOM_SIP_RING_S, config.GREENROOM_DRAIN_MS),
  });
  const runtime = await startRuntime({
    ...common,
    hosts,
    limits: {
      claimMs: config.GREENROOM_DISPATCH_CLAIM_MS,
      repeatMs: config.GREENROOM_DISPATCH_REPEAT_MS,
      keepMs: config.GREENROOM_DISPATCH_KEEP_MS,
    },
    takesHandoffs: config.INGESTION_ENABLED,
    batchSize: config.INGESTION_BATCH_SIZE,
    launcher: config.LAUNCHER_ENABLED ? "webhook" : undefined,
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
