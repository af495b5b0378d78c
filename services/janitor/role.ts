// The janitor as a role: what it starts from its settings, alone in a process or with other roles.
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { janitorSettings, sweepSettingsOf } from "./config.ts";
import { startJanitor } from "./janitor.ts";

export const janitorRole: Service<typeof janitorSettings> = {
  name: "janitor",
  settings: janitorSettings,
  stopMs: () => STOP_MS,
  start: async ({ config, log, clock, connect }) =>
    startJanitor({
      bus: await connect(),
      clock,
      log,
      livekit: connectLiveKit(config),
      settings: sweepSettingsOf(config),
    }),
};
