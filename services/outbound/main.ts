// Runs one outbound process on settings from the environment.
import { TASK_LINES_MAX } from "../../libs/contracts/task.ts";
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { outboundSettings, providerFor } from "./config.ts";
import { startOutbound } from "./outbound.ts";

const run = { settings: outboundSettings, stopMs: 10_000 };

await runOnBus("outbound", run, async ({ config, log, clock, metrics, instance, connect }) =>
  startOutbound({
    bus: await connect(),
    clock,
    log,
    instance,
    metrics,
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
  }),
);
