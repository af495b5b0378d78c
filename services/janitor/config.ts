// The janitor's settings.
import { commonSettings } from "../../libs/process/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/process/config.ts";

export const janitorSettings = {
  ...commonSettings,
  GREENROOM_SWEEP_MS: setting.integer(
    "How often LiveKit's rooms are compared with the sessions.",
    10_000,
    100,
  ),
  GREENROOM_ALIVE_MS: setting.integer(
    "How long an agent may take to answer, through LiveKit, whether it lives, once its host is gone.",
    300,
    50,
    10_000,
  ),
  GREENROOM_KEEP_ENDED_MS: setting.integer(
    "How long the record of an ended session is kept.",
    24 * 60 * 60 * 1000,
    1000,
  ),
};
export type JanitorConfig = ConfigOf<typeof janitorSettings>;
