// A control process whose webhooks role fails as long as the file FRAGILE_FILE exists.
import { existsSync } from "node:fs";
import { allRoles } from "../../../../services/control/roles.ts";
import { runControl } from "../../../../services/control/run-control.ts";

const failIfFragile = () => {
  if (existsSync(process.env.FRAGILE_FILE ?? "")) throw new Error("FRAGILE_FILE exists");
};

await runControl({
  ...allRoles,
  webhooks: {
    ...allRoles.webhooks,
    async start(context) {
      failIfFragile();
      const running = await allRoles.webhooks.start(context);
      // A timer outside the clock and the bus, so that its error reaches the handler of the whole process.
      const timer = setInterval(failIfFragile, 50);
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
