// Runs one dispatcher on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { dispatcherRole } from "./role.ts";

await runOnBus(dispatcherRole);
