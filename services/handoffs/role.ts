// The handoffs service as a role: what it starts from its settings, alone in a process or with other roles.
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { handoffSettingsOf, handoffsSettings } from "./config.ts";
import { startHandoffs } from "./handoffs.ts";

export const handoffsRole: Service<typeof handoffsSettings> = {
  name: "handoffs",
  settings: handoffsSettings,
  stopMs: () => STOP_MS,
  async start({ config, log, clock, connect }) {
    const settings = handoffSettingsOf(config, log);
    const bus = await connect();
    const sessions = await watchSessions(bus, clock);
    const hosts = await watchHosts(bus);
    const handoffs = await startHandoffs({ bus, clock, log, sessions, hosts, ...settings });
    return {
      async stop() {
        await handoffs.stop();
        await hosts.stop();
        await sessions.stop();
      },
    };
  },
};
