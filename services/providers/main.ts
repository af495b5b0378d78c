// Runs one providers service on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { providersRole } from "./role.ts";

await runOnBus(providersRole);
