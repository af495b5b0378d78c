// The doctor's settings: those of the services that it checks, and the addresses to look at.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { agentHostSettings } from "../../services/agent-host/config.ts";
import { localSettings } from "../supervisor/config.ts";

export const doctorSettings = {
  ...commonSettings,
  NATS_URL: setting.optionalText(
    "Address of NATS. Default: the server that `npm start` runs from its data directory, or else nats://127.0.0.1:4222.",
  ),
  GREENROOM_NATS_MONITOR_URL: setting.optionalText(
    "Monitoring address of a NATS node (`http` in its configuration), for example http://127.0.0.1:8222. The doctor reads `sync_interval` there.",
  ),
  GREENROOM_AGENTS_DIR: agentHostSettings.GREENROOM_AGENTS_DIR,
  GREENROOM_DATA_DIR: localSettings.GREENROOM_DATA_DIR,
  GREENROOM_PORT: localSettings.GREENROOM_PORT,
  GREENROOM_BIND: localSettings.GREENROOM_BIND,
  GREENROOM_NATS_SERVER: localSettings.GREENROOM_NATS_SERVER,
  GREENROOM_LIVEKIT_SERVER: localSettings.GREENROOM_LIVEKIT_SERVER,
};
export type DoctorConfig = ConfigOf<typeof doctorSettings>;
