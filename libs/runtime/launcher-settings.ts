// The agent runner's address, a setting of two services: providers calls it, handoffs only checks whether it is set.
import { setting } from "./config.ts";

export const launcherSettings = {
  AGENT_LAUNCHER_URL: setting.optionalText(
    "Address of the agent runner, for example http://runner:4100. Greenroom appends `/runtime/agent-sessions/launch` if it is missing.",
  ),
};
