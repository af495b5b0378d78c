// The setting about agent runners that two services read: providers asks the runner, handoffs only whether there is one.
import { setting } from "./config.ts";

export const launcherSettings = {
  AGENT_LAUNCHER_URL: setting.optionalText(
    "Where the agent runner is asked for agents, as http://runner:4100; `/runtime/agent-sessions/launch` is added where it is missing.",
  ),
};
