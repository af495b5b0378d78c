// The fake janitor of the supervisor's tests.
import { runFakeService } from "./fake-service.ts";

const forever = setInterval(() => {}, 1000);
await runFakeService("janitor", async () => ({ stop: async () => clearInterval(forever) }));
