// The roles that a control process can run.
import type { RoleName } from "../../libs/contracts/fleet/pool.ts";
import type { Service } from "../../libs/fleet/run-on-bus.ts";
import { callsRole } from "../calls/role.ts";
import { dispatcherRole } from "../dispatcher/role.ts";
import { handoffsRole } from "../handoffs/role.ts";
import { janitorRole } from "../janitor/role.ts";
import { privacyRole } from "../privacy/role.ts";
import { providersRole } from "../providers/role.ts";
import { tasksRole } from "../tasks/role.ts";
import { webhooksRole } from "../webhooks/role.ts";

export type Roles = Readonly<Record<RoleName, Service>>;

export const allRoles: Roles = {
  dispatcher: dispatcherRole,
  janitor: janitorRole,
  providers: providersRole,
  handoffs: handoffsRole,
  tasks: tasksRole,
  calls: callsRole,
  webhooks: webhooksRole,
  privacy: privacyRole,
};
