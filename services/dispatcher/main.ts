// Runs one dispatcher on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { dispatcherSettings, sessionDefaultsOf } from "./config.ts";
import { startDispatcher } from "./dispatcher.ts";
import { countSessions } from "./session-metrics.ts";

const run = { settings: dispatcherSettings, stopMs: 10_000 };

await runOnBus("dispatcher", run, async ({ config, log, clock, metrics, instance, connect }) =>
  startDispatcher({
    bus: await connect(countSessions(metrics)),
    clock,
    log,
    livekit: connectLiveKit(config),
    instance,
    defaults: sessionDefaultsOf(config),
  }),
);
