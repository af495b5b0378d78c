// Runs `npm start` with fake services on real servers, for the supervisor's tests.
import { fileURLToPath } from "node:url";
import { runLocal } from "../../../../cli/supervisor/run-local.ts";

const fileOf = (name: string) => fileURLToPath(new URL(`./fake-${name}.ts`, import.meta.url));

await runLocal({
  env: process.env,
  services: (["gateway", "dispatcher", "agent-host", "janitor"] as const).map((name) => ({
    name,
    main: fileOf(name),
  })),
  ports: { nats: Number(process.env.FAKE_NATS_PORT), livekit: Number(process.env.FAKE_LIVEKIT_PORT) },
  backOff: { firstMs: 50, mostMs: 200, steadyMs: 20_000, patience: 3, slowMs: 500 },
});
