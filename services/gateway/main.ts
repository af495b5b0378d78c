// Starts a gateway: settings, NATS, LiveKit, the views of hosts and sessions, and the HTTP server.
import type { FastifyInstance } from "fastify";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { runOnBus, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { ConfigError } from "../../libs/runtime/config.ts";
import { gatewaySettings } from "./config.ts";
import { buildGateway } from "./gateway.ts";

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

/** @throws ConfigError for an unavailable port or address, where a retry would not help */
async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const reason = reasonOf((error as NodeJS.ErrnoException).code, host, port);
    if (reason === undefined) throw error;
    throw new ConfigError([reason]);
  }
}

function reasonOf(code: string | undefined, host: string, port: number): string | undefined {
  switch (code) {
    case "EADDRINUSE":
      return `GREENROOM_PORT: port ${port} on ${host} is in use by another program. Stop that program, or set GREENROOM_PORT to a free port.`;
    case "EACCES":
      return `GREENROOM_PORT: this user may not open port ${port}. Use a port above 1023.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `GREENROOM_BIND: this machine has no address ${host}. Use 127.0.0.1 for this machine only, or 0.0.0.0 for all addresses.`;
    default:
      return undefined;
  }
}
