// The gateway's settings.
import { commonSettings } from "../../libs/process/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/process/config.ts";

export const gatewaySettings = {
  ...commonSettings,
  GREENROOM_PORT: setting.integer("The port of the API and the page; 0 takes any free one.", 8080, 0, 65_535),
  GREENROOM_BIND: setting.text("The address to listen on; 0.0.0.0 is every one.", "127.0.0.1"),
  GREENROOM_WAIT_MS: setting.integer(
    "How long a start waits for its agent before it answers 202, in ms.",
    500,
    0,
    30_000,
  ),
  GREENROOM_QUEUE_MAX: setting.integer(
    "How many sessions may wait for capacity before more are refused with 429.",
    100,
  ),
  GREENROOM_DEFAULT_PROFILE: setting.optionalText(
    "The profile of a start that names none. Default: assistant where it runs, else echo.",
  ),
  GREENROOM_TOKEN_TTL_S: setting.integer("How long a user may wait before joining, in s.", 600, 10, 86_400),
  GREENROOM_BODY_LIMIT_BYTES: setting.integer("The largest body that is taken, in bytes.", 65_536, 1024),
  GREENROOM_CORS_ORIGIN: setting.optionalText(
    "The web pages that may use the API: origins separated by commas, or *. Default: those of this machine.",
  ),
  GREENROOM_RATE_LIMIT: setting.integer(
    "Requests per minute that one address may send; 0 sets no limit, as behind a proxy that has its own.",
    0,
  ),
};
export type GatewayConfig = ConfigOf<typeof gatewaySettings>;
