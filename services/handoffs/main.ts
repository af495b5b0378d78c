// Runs one handoffs service on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { handoffsRole } from "./role.ts";

await runOnBus(handoffsRole);
