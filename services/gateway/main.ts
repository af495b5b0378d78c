// Starts a gateway: settings, NATS, LiveKit, the views of hosts and sessions, and the HTTP server.
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { runOnBus, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { gatewaySettings } from "./config.ts";
import { buildGateway } from "./gateway.ts";
import { listen } from "./http/listen.ts";

await runOnBus({
  name: "gateway",
  settings: gatewaySettings,
  stopMs: () => STOP_MS,
  async start({ config, log, clock, metrics, instance, connect }) {
    const bus = await connect();
    const livekit = connectLiveKit(config);
    if (livekit === undefined)
      log.warn("LiveKit is not configured, so sessions can't start; see /api/health");
    const hosts = await watchHosts(bus);
    const sessions = await watchSessions(bus, clock);
    const app = buildGateway({ bus, clock, log, config, livekit, hosts, sessions, metrics, instance });
    const url = await listen(app, config.GREENROOM_BIND, config.GREENROOM_PORT);
    log.info({ url }, "listening");
    return {
      async stop() {
        await app.close();
        await hosts.stop();
        await sessions.stop();
      },
    };
  },
});
