// Runs `npm start` with fake services on real servers, for the supervisor's tests.
import { runLocal } from "../../../../cli/supervisor/run-local.ts";
import { RoleName } from "../../../../libs/contracts/fleet/pool.ts";
import { compiledFile } from "../../../../libs/runtime/compiled.ts";

await runLocal({
  env: process.env,
  services: (["gateway", "control", "agent-host"] as const).map((name) => ({
    name,
    main: compiledFile(`test/kit/fakes/services/fake-${name}.ts`),
    ...(name === "control" ? { roles: RoleName.options } : {}),
  })),
  ports: { nats: Number(process.env.FAKE_NATS_PORT), livekit: Number(process.env.FAKE_LIVEKIT_PORT) },
  backOff: { firstMs: 50, mostMs: 200, steadyMs: 20_000, patience: 3, slowMs: 500 },
});
