// Starts a gateway: settings, NATS, LiveKit, the views of hosts and sessions, and the server.
import { measuredBus } from "../../libs/bus/measured-bus.ts";
import { connectNatsBus } from "../../libs/bus/nats-bus.ts";
import { startBeat } from "../../libs/fleet/beat.ts";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { watchSessions } from "../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../libs/livekit/connect.ts";
import { systemClock } from "../../libs/process/clock.ts";
import { allSettingNames } from "../../libs/process/common-settings.ts";
import { readConfig } from "../../libs/process/config.ts";
import { runService } from "../../libs/process/run.ts";
import { gatewaySettings } from "./config.ts";
import { buildGateway } from "./gateway.ts";
import { listen } from "./listen.ts";

await runService("gateway", { stopMs: 10_000 }, async ({ log, metrics, instance, quit }) => {
  const config = readConfig(gatewaySettings, process.env, allSettingNames);
  const connected = await connectNatsBus({
    url: config.NATS_URL,
    name: instance,
    replicas: config.GREENROOM_REPLICAS,
    log,
    onLost: (error) => {
      log.error({ error }, "NATS is lost");
      quit("NATS closed the connection for good", 1);
    },
  });
  const bus = measuredBus(connected, metrics);
  const livekit = connectLiveKit(config);
  if (livekit === undefined) log.warn("no LiveKit is configured: sessions can't start; see /api/health");
  const hosts = await watchHosts(bus);
  const sessions = await watchSessions(bus, systemClock);
  const app = buildGateway({
    bus,
    clock: systemClock,
    log,
    config,
    livekit,
    hosts,
    sessions,
    metrics,
    instance,
  });
  const url = await listen(app, config.GREENROOM_BIND, config.GREENROOM_PORT);
  log.info({ url }, "the API listens");
  const stopBeat = startBeat(bus, systemClock, { service: "gateway", instance });
  return {
    async stop() {
      stopBeat();
      await app.close();
      await hosts.stop();
      await sessions.stop();
      await bus.close();
    },
  };
});
