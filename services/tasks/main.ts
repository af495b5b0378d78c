// Runs one outbound process on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { outboundSettings, outboundSettingsOf } from "./config.ts";
import { startOutbound } from "./tasks.ts";

const run = { settings: outboundSettings, stopMs: 10_000 };

await runOnBus("outbound", run, async ({ config, log, clock, metrics, instance, connect }) =>
  startOutbound({
    bus: await connect(),
    clock,
    log,
    instance,
    metrics,
    settings: outboundSettingsOf(config),
  }),
);
