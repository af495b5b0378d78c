// The dispatcher as a role: what it starts from its settings, alone in a process or with other roles.
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { dispatcherSettings, sessionDefaultsOf } from "./config.ts";
import { startDispatcher } from "./dispatcher.ts";
import { countSessions } from "./session-metrics.ts";

export const dispatcherRole: Service<typeof dispatcherSettings> = {
  name: "dispatcher",
  settings: dispatcherSettings,
  stopMs: () => STOP_MS,
  start: async ({ config, log, clock, metrics, instance, connect }) =>
    startDispatcher({
      bus: await connect(countSessions(metrics)),
      clock,
      log,
      livekit: connectLiveKit(config),
      instance,
      defaults: sessionDefaultsOf(config),
    }),
};
