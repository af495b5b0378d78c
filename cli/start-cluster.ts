// `npm run start:cluster`: three NATS nodes, two of each service and one LiveKit, on one machine.
import { serviceMain } from "./supervisor/fork-service.ts";
import { runLocal } from "./supervisor/run-local.ts";

await runLocal({
  // What is set wins. Its own directory: a cluster can't take over the data of a single server.
  env: { GREENROOM_REPLICAS: "3", GREENROOM_DATA_DIR: ".greenroom-cluster", ...process.env },
  natsNodes: 3,
  services: [
    ...(["gateway", "dispatcher", "agent-host", "janitor"] as const).map((name) => ({
      name,
      main: serviceMain(name),
      count: 2,
    })),
    ...(["providers", "handoffs", "tasks", "calls", "webhooks", "privacy"] as const).map((name) => ({
      name,
      main: serviceMain(name),
      count: 2,
      isLater: true as const,
    })),
  ],
  ports: { nats: 4222, livekit: 7880 },
});
