// The gateway's settings.
import { serviceJwtSettings } from "../../libs/auth/service-jwt.ts";
import { PROVIDERS_DESCRIPTION, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { INBOUND_ROOMS_DESCRIPTION, parseInboundRooms } from "../../libs/contracts/sessions/inbound-rooms.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { webhookSettings } from "../../libs/runtime/webhook-settings.ts";

export const gatewaySettings = {
  ...commonSettings,
  ...webhookSettings,
  ...serviceJwtSettings,
  GREENROOM_PORT: setting.integer("The port of the API and the page; 0 takes any free one.", 8080, 0, 65_535),
  GREENROOM_BIND: setting.text("The address to listen on; 0.0.0.0 is every one.", "127.0.0.1"),
  GREENROOM_START_WAIT_MS: setting.integer(
    "How long a start waits for its agent before it answers 202, in ms.",
    500,
    0,
    30_000,
  ),
  GREENROOM_MAX_QUEUE_LENGTH: setting.integer(
    "How many sessions may wait for capacity before more are refused with 429.",
    100,
  ),
  GREENROOM_MAX_PENDING_STARTS: setting.integer(
    "How many starts may be under way at one gateway before more are refused with 429: asked for, and not yet taken up by a dispatcher.",
    256,
    1,
  ),
  GREENROOM_MAX_EVENT_LOOP_LAG_MS: setting.integer(
    "How far the gateway's own work may lag behind (the median of a second, in ms) before starts are refused with 429.",
    500,
    10,
  ),
  GREENROOM_CONNECTIONS_MAX: setting.integer("Connections to one gateway at once, of any kind.", 20_000, 1),
  GREENROOM_STREAMS_MAX: setting.integer(
    "Event streams and WebSockets that may be open at one gateway.",
    10_000,
    0,
  ),
  GREENROOM_STREAMS_PER_CLIENT: setting.integer(
    "How many of those one address may have open; 0 sets no limit, as behind a proxy.",
    0,
  ),
  GREENROOM_REQUEST_TIMEOUT_MS: setting.integer("How long a request may take to arrive, in ms.", 30_000, 100),
  GREENROOM_SLOW_CLIENT_TIMEOUT_MS: setting.integer(
    "How long a client may leave what it was sent unread before it is cut, in ms.",
    60_000,
    100,
  ),
  GREENROOM_DEFAULT_PROFILE: setting.optionalText(
    "The profile of a start that names none. Default: assistant where it runs, else echo.",
  ),
  GREENROOM_INBOUND_ROOMS: setting.parsed(INBOUND_ROOMS_DESCRIPTION, parseInboundRooms),
  GREENROOM_PROVIDERS: setting.parsed(PROVIDERS_DESCRIPTION, parseProviderRules),
  GREENROOM_TOKEN_TTL_S: setting.integer("How long a user may wait before joining, in s.", 600, 10, 86_400),
  GREENROOM_BODY_LIMIT_BYTES: setting.integer("The largest body that is taken, in bytes.", 65_536, 1024),
  GREENROOM_BULK_LIMIT_BYTES: setting.integer(
    "The largest body of a bulk of tasks, in bytes; it is read as a stream.",
    64 * 1024 * 1024,
    1024,
  ),
  GREENROOM_CORS_ORIGIN: setting.optionalText(
    "The web pages that may use the API: origins separated by commas, or *. Default: those of this machine.",
  ),
  GREENROOM_METRICS: setting.choice(
    "Who may read the gateway's /metrics: programs on its own machine that come through no proxy (loopback), everybody who reaches the gateway (all), or nobody (off).",
    ["loopback", "all", "off"],
    "loopback",
  ),
  GREENROOM_RATE_LIMIT: setting.integer(
    "Requests per minute that one address may send; 0 sets no limit, as behind a proxy that has its own.",
    0,
  ),
};
export type GatewayConfig = ConfigOf<typeof gatewaySettings>;
