// `npm run start:cluster`: three NATS nodes, two of each service and one LiveKit, on one machine.
import { localServices, shapeIn } from "./supervisor/local-services.ts";
import { runLocal } from "./supervisor/run-local.ts";

await runLocal({
  // What is set wins. Its own directory: a cluster can't take over the data of a single server.
  env: { GREENROOM_REPLICAS: "3", GREENROOM_DATA_DIR: ".greenroom-cluster", ...process.env },
  natsNodes: 3,
  services: localServices(shapeIn(process.argv.slice(2)), process.env, 2),
  ports: { nats: 4222, livekit: 7880 },
});
