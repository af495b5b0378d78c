// Runs one janitor on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { janitorSettings, sweepSettingsOf } from "./config.ts";
import { startJanitor } from "./janitor.ts";

const run = { settings: janitorSettings, stopMs: 10_000 };

await runOnBus("janitor", run, async ({ config, log, clock, connect }) =>
  startJanitor({
    bus: await connect(),
    clock,
    log,
    livekit: connectLiveKit(config),
    settings: sweepSettingsOf(config),
  }),
);
