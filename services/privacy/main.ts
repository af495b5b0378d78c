// Runs one privacy service on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { privacyRole } from "./role.ts";

await runOnBus(privacyRole);
