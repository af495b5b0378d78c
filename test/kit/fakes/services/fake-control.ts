// The fake control process of the supervisor's tests.
import { runFakeService } from "./fake-service.ts";

const forever = setInterval(() => {}, 1000);
await runFakeService("control", async () => ({ stop: async () => clearInterval(forever) }));
