// Runs a control process on settings from the environment.
import { connectBus } from "../../libs/fleet/run-on-bus.ts";
import { systemClock } from "../../libs/runtime/clock.ts";
import { runService } from "../../libs/runtime/run-service.ts";
import { readControlConfig, rolesIn } from "./config.ts";
import { startControl } from "./control.ts";
import { currentScope } from "./role-scope.ts";
import type { Roles } from "./roles.ts";

/** sysexits: a bug of the program itself. */
const EX_SOFTWARE = 70;

export async function runControl(roles: Roles): Promise<void> {
  const { env } = process;
  const stopMsOf = (name: keyof Roles) => roles[name].stopMs(env);
  // The dispatcher stops after the others.
  const stopMs = Math.max(...rolesIn(env).map(stopMsOf)) + stopMsOf("dispatcher");
  await runService("control", { stopMs, ascribe: failCurrentRole }, async (context) => {
    const config = readControlConfig(roles, env);
    const bus = await connectBus(context, config);
    const control = await startControl({
      ...context,
      bus,
      clock: systemClock,
      config,
      roles,
      names: config.GREENROOM_ROLES,
      stopMsOf,
      onFatal(error) {
        context.log.fatal({ error }, "the dispatcher failed; the process ends and must be started again");
        process.exit(EX_SOFTWARE);
      },
    });
    return {
      health: () => control.health(),
      async stop() {
        try {
          await control.stop();
        } finally {
          await bus.close();
        }
      },
    };
  });
}

/** An error that escaped from a role fails that role. Without a role in its context it is the process's own. */
function failCurrentRole(error: unknown): boolean {
  const scope = currentScope();
  scope?.fail(error);
  return scope !== undefined;
}
