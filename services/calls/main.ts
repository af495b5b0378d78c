// Runs one calls service on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { callsRole } from "./role.ts";

await runOnBus(callsRole);
