// `npm run start:cluster`: three NATS nodes, two of each service and one LiveKit, on one machine.
import { localServices, shapeIn } from "./supervisor/local-services.ts";
import { runLocal } from "./supervisor/run-local.ts";

await runLocal({
  // The environment overrides these defaults. The data directory is separate, because a cluster can't use a single
  // server's data.
  env: { GREENROOM_REPLICAS: "3", GREENROOM_DATA_DIR: ".greenroom-cluster", ...process.env },
  natsNodes: 3,
  services: localServices(shapeIn(process.argv.slice(2)), process.env, 2),
  ports: { nats: 4222, livekit: 7880 },
});
