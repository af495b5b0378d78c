// A control process whose webhooks role fails as long as the file FRAGILE_FILE exists.
import { existsSync } from "node:fs";
import { allRoles } from "../../../../services/control/roles.ts";
import { runControl } from "../../../../services/control/run-control.ts";

const failIfTold = () => {
  if (existsSync(process.env.FRAGILE_FILE ?? "")) throw new Error("the webhooks role was told to fail");
};

await runControl({
  ...allRoles,
  webhooks: {
    ...allRoles.webhooks,
    async start(context) {
      failIfTold();
      const running = await allRoles.webhooks.start(context);
      // A timer that neither the clock nor the bus knows: its error reaches the handler of the whole process.
      const timer = setInterval(failIfTold, 50);
      context.log.info("webhooks are fragile");
      return {
        async stop() {
          clearInterval(timer);
          await running.stop();
        },
      };
    },
  },
});
