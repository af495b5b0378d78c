// `npm start`: NATS, LiveKit and the services as child processes of one supervisor.
import { localServices, shapeIn } from "./supervisor/local-services.ts";
import { runLocal } from "./supervisor/run-local.ts";

await runLocal({
  env: process.env,
  services: localServices(shapeIn(process.argv.slice(2)), process.env),
  ports: { nats: 4222, livekit: 7880 },
});
