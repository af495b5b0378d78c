// The tasks service as a role: what it starts from its settings, alone in a process or with other roles.
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { taskSettingsOf, tasksSettings } from "./config.ts";
import { startTasks } from "./tasks.ts";

export const tasksRole: Service<typeof tasksSettings> = {
  name: "tasks",
  settings: tasksSettings,
  stopMs: () => STOP_MS,
  start: async ({ config, log, clock, metrics, instance, connect }) =>
    startTasks({
      bus: await connect(),
      clock,
      log,
      instance,
      metrics,
      settings: taskSettingsOf(config),
    }),
};
