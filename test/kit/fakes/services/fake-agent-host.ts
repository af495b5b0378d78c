// The fake agent-host of the supervisor's tests, with a child that plays an agent process.
import { runFakeService, startGrandchild } from "./fake-service.ts";

await runFakeService("agent-host", async () => {
  const endGrandchild = startGrandchild();
  return { stop: async () => endGrandchild() };
});
