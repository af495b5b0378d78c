// The fake gateway of the supervisor's tests, which listens and reports two idle agents.
import { createServer } from "node:http";
import { connect } from "nats";
import type { HealthAnswer } from "../../../../libs/contracts/fleet/http.ts";
import { runFakeService } from "./fake-service.ts";

const running = { status: "running" as const, instances: 1 };
const health: HealthAnswer = {
  success: true,
  status: "healthy",
  sessions: { ready: 0, starting: 0, pool: 2, total: 0 },
  stats: { totalSpawned: 2, totalAssigned: 0, totalLost: 0 },
  capacity: { current: 0, max: 4, available: 4 },
  services: {
    nats: running,
    livekit: running,
    gateway: running,
    dispatcher: running,
    "agent-host": running,
    janitor: running,
    providers: running,
    handoffs: running,
    tasks: running,
    calls: running,
    webhooks: running,
    privacy: running,
  },
  profiles: {
    echo: { status: "running", warm: 1, hot: 1, warming: 0, busy: 0, max: 4 },
    assistant: {
      status: "disabled",
      error: "OPENAI_API_KEY is not set",
      warm: 0,
      hot: 0,
      warming: 0,
      busy: 0,
      max: 0,
    },
  },
  defaultProfile: "echo",
};

/** The received heartbeats, which tests read. */
const heartbeats: unknown[] = [];

await runFakeService("gateway", async () => {
  const nats = await connect({ servers: process.env.NATS_URL ?? "", waitOnFirstConnect: true });
  nats.subscribe("services.heartbeat", {
    callback: (_error, message) => void heartbeats.push(message.json()),
  });
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/heartbeats") response.end(JSON.stringify(heartbeats));
    else if (request.url === "/env") {
      const { NATS_URL, LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET } = process.env;
      response.end(JSON.stringify({ NATS_URL, LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET }));
    } else response.end(JSON.stringify(health));
  });
  const port = Number(process.env.GREENROOM_PORT);
  await new Promise<void>((resolve) =>
    server.listen(port, process.env.GREENROOM_BIND ?? "127.0.0.1", resolve),
  );
  return {
    async stop() {
      server.closeAllConnections();
      server.close();
      await nats.close();
    },
  };
});
