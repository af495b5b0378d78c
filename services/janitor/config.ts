// The janitor's settings.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

export const janitorSettings = {
  ...commonSettings,
  GREENROOM_SWEEP_MS: setting.integer(
    "Interval in ms between comparisons of LiveKit's rooms with the sessions.",
    10_000,
    100,
  ),
  GREENROOM_AGENT_PING_TIMEOUT_MS: setting.integer(
    "Maximum time in ms in which an agent must answer a ping through LiveKit when its host is silent.",
    300,
    50,
    10_000,
  ),
  GREENROOM_SESSION_RETENTION_MS: setting.integer(
    "Time in ms for which the record of an ended session is kept. It must be longer than a minute, because the rollup of a minute is built from the records of all sessions that ended in it.",
    24 * 60 * 60 * 1000,
    70_000,
  ),
};
export type JanitorConfig = ConfigOf<typeof janitorSettings>;

export const sweepSettingsOf = (config: JanitorConfig) => ({
  sweepMs: config.GREENROOM_SWEEP_MS,
  keepEndedMs: config.GREENROOM_SESSION_RETENTION_MS,
  agentPingTimeoutMs: config.GREENROOM_AGENT_PING_TIMEOUT_MS,
});
