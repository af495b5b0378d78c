// The doctor's settings: those of the services that it looks after, and where it may look.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { agentHostSettings } from "../../services/agent-host/config.ts";
import { localSettings } from "../supervisor/config.ts";

export const doctorSettings = {
  ...commonSettings,
  NATS_URL: setting.optionalText(
    "Where NATS is. Without it, the one that npm start runs from its data directory, or else nats://127.0.0.1:4222.",
  ),
  GREENROOM_NATS_MONITOR_URL: setting.optionalText(
    "The monitoring address (`http` in its configuration) of a NATS node, as http://127.0.0.1:8222: how soon it writes to the disk can only be seen there.",
  ),
  GREENROOM_AGENTS_DIR: agentHostSettings.GREENROOM_AGENTS_DIR,
  GREENROOM_DATA_DIR: localSettings.GREENROOM_DATA_DIR,
  GREENROOM_PORT: localSettings.GREENROOM_PORT,
  GREENROOM_BIND: localSettings.GREENROOM_BIND,
  GREENROOM_NATS_SERVER: localSettings.GREENROOM_NATS_SERVER,
  GREENROOM_LIVEKIT_SERVER: localSettings.GREENROOM_LIVEKIT_SERVER,
};
export type DoctorConfig = ConfigOf<typeof doctorSettings>;
