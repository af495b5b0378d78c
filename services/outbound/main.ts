// Runs one outbound process on settings from the environment.
import { measuredBus } from "../../libs/bus/measured-bus.ts";
import { connectNatsBus } from "../../libs/bus/nats-bus.ts";
import { TASK_LINES_MAX } from "../../libs/contracts/task.ts";
import { startBeat } from "../../libs/fleet/beat.ts";
import { systemClock } from "../../libs/process/clock.ts";
import { allSettingNames } from "../../libs/process/common-settings.ts";
import { readConfig } from "../../libs/process/config.ts";
import { runService } from "../../libs/process/run.ts";
import { outboundSettings, providerFor } from "./config.ts";
import { startOutbound } from "./outbound.ts";

await runService("outbound", { stopMs: 10_000 }, async ({ log, metrics, instance, quit }) => {
  const config = readConfig(outboundSettings, process.env, allSettingNames);
  const connected = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => quit(`NATS is lost: ${error}`, 1),
  });
  const bus = measuredBus(connected, metrics);
  const outbound = await startOutbound({
    bus,
    clock: systemClock,
    log,
    instance,
    settings: {
      limits: {
        perTenant: config.GREENROOM_TASKS_PER_TENANT,
        perProvider: config.GREENROOM_TASKS_PER_PROVIDER,
        total: TASK_LINES_MAX,
        callingHours: config.GREENROOM_CALLING_HOURS,
      },
      rate: config.GREENROOM_TASK_RATE,
      deadlineMs: { attempt: config.GREENROOM_TASK_ATTEMPT_MS },
      providerOf: (profile) => providerFor(config, { profile }),
    },
  });
  const stopBeat = startBeat(bus, systemClock, { service: "outbound", instance });
  return {
    async stop() {
      stopBeat();
      await outbound.stop();
      await bus.close();
    },
  };
});
