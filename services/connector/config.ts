// The connector's settings.
import { PROVIDERS_SAYS, parseProviderRules } from "../../libs/contracts/provider-choice.ts";
import { commonSettings } from "../../libs/process/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/process/config.ts";
import { callSettings } from "./call-settings.ts";
import { runtimeSettings } from "./runtime-settings.ts";

export const connectorSettings = {
  ...commonSettings,
  GREENROOM_PROVIDERS: setting.parsed(PROVIDERS_SAYS, parseProviderRules),
  GREENROOM_LIVEKIT_TAKE_MS: setting.integer(
    "How long LiveKit may take to find a worker for a dispatch, before it is taken back and made again.",
    7000,
    500,
  ),
  GREENROOM_OBSERVE_MS: setting.integer(
    "How often an agent that a provider brought is looked after while it serves.",
    3000,
    100,
  ),
  GREENROOM_DRAIN_MS: setting.integer(
    "How long telephones may ring on after SIGTERM before they are left to another connector, which can't learn why nobody answered; never longer than they may ring.",
    600_000,
    0,
  ),
  GREENROOM_USER_LEFT_MS: setting.integer("How long after its last user left a session ends.", 10_000, 0),
  ...callSettings,
  ...runtimeSettings,
};
export type ConnectorConfig = ConfigOf<typeof connectorSettings>;
