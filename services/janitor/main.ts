// Runs one janitor on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { janitorSettings } from "./config.ts";
import { startJanitor } from "./janitor.ts";

const run = { settings: janitorSettings, stopMs: 10_000 };

await runOnBus("janitor", run, async ({ config, log, clock, connect }) =>
  startJanitor({
    bus: await connect(),
    clock,
    log,
    livekit: connectLiveKit(config),
    settings: {
      sweepMs: config.GREENROOM_SWEEP_MS,
      keepEndedMs: config.GREENROOM_KEEP_ENDED_MS,
      aliveMs: config.GREENROOM_ALIVE_MS,
    },
  }),
);
