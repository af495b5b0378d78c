// The janitor's settings.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

export const janitorSettings = {
  ...commonSettings,
  GREENROOM_SWEEP_MS: setting.integer(
    "How often LiveKit's rooms are compared with the sessions.",
    10_000,
    100,
  ),
  GREENROOM_AGENT_PING_TIMEOUT_MS: setting.integer(
    "How long an agent may take to answer, through LiveKit, whether it lives, once its host is gone.",
    300,
    50,
    10_000,
  ),
  GREENROOM_SESSION_RETENTION_MS: setting.integer(
    "How long the record of an ended session is kept: longer than a minute, since a minute's roll-up is made from the records of all sessions that ended in it.",
    24 * 60 * 60 * 1000,
    70_000,
  ),
};
export type JanitorConfig = ConfigOf<typeof janitorSettings>;

export const sweepSettingsOf = (config: JanitorConfig) => ({
  sweepMs: config.GREENROOM_SWEEP_MS,
  keepEndedMs: config.GREENROOM_SESSION_RETENTION_MS,
  aliveMs: config.GREENROOM_AGENT_PING_TIMEOUT_MS,
});
