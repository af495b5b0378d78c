// Runs one webhooks service on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { webhooksRole } from "./role.ts";

await runOnBus(webhooksRole);
