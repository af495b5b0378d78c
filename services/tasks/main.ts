// Runs one tasks service on settings from the environment.
import { runOnBus } from "../../libs/fleet/run-on-bus.ts";
import { tasksRole } from "./role.ts";

await runOnBus(tasksRole);
