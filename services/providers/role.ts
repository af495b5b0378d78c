// The providers service as a role: what it starts from its settings, alone in a process or with other roles.
import type { Service } from "../../libs/fleet/run-on-bus.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { manageClaims } from "./claims/claim-manager.ts";
import { claimLimitsOf, launchSettingsOf, providersSettings, stopMsOf } from "./config.ts";
import { createProviders } from "./create-drivers.ts";
import { startProviders } from "./providers.ts";
import { setUpRunner } from "./runner-settings.ts";

export const providersRole: Service<typeof providersSettings> = {
  name: "providers",
  settings: providersSettings,
  stopMs: stopMsOf,
  async start({ config, log, clock, metrics, instance, connect }) {
    const runner = setUpRunner(config, config.GREENROOM_PROVIDERS);
    const bus = await connect();
    const sessions = await watchSessions(bus, clock);
    const common = { bus, clock, log, instance, sessions, livekit: connectLiveKit(config) };
    const launches = await startProviders({
      ...common,
      ...launchSettingsOf(config),
      metrics,
      providers: createProviders(config, { ...common, runner }),
    });
    const claims = await manageClaims({ ...common, limits: claimLimitsOf(config) });
    return {
      async stop() {
        await claims.stop();
        await launches.stop();
        await sessions.stop();
      },
    };
  },
};
