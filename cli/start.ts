// `npm start`: NATS, LiveKit and the services as child processes of one supervisor.
import { serviceMain } from "./supervisor/fork-service.ts";
import { runLocal } from "./supervisor/run-local.ts";

await runLocal({
  env: process.env,
  services: [
    ...(["gateway", "dispatcher", "agent-host", "janitor"] as const).map((name) => ({
      name,
      main: serviceMain(name),
    })),
    ...(["providers", "handoffs", "tasks", "calls", "webhooks", "privacy"] as const).map((name) => ({
      name,
      main: serviceMain(name),
      isLater: true as const,
    })),
  ],
  ports: { nats: 4222, livekit: 7880 },
});
