// The setting about agent runners that two services read: providers asks the runner, handoffs only whether there is one.
import { setting } from "./config.ts";

export const launcherSettings = {
  AGENT_LAUNCHER_URL: setting.optionalText(
    "Address of the agent runner, for example http://runner:4100. Greenroom appends `/runtime/agent-sessions/launch` if it is missing.",
  ),
};
