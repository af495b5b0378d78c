// Runs the roles that GREENROOM_ROLES names in one process.
import { allRoles } from "./roles.ts";
import { runControl } from "./run-control.ts";

await runControl(allRoles);
