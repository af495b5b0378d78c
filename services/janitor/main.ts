// Runs one janitor on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { janitorRole } from "./role.ts";

await runOnBus(janitorRole);
