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
  GREENROOM_PORT: setting.integer("Port of the API and the page; 0 selects any free port.", 8080, 0, 65_535),
  GREENROOM_BIND: setting.text("Address to listen on; 0.0.0.0 means all addresses.", "127.0.0.1"),
  GREENROOM_START_WAIT_MS: setting.integer(
    "Time in ms for which a start waits for its agent before the gateway answers 202.",
    500,
    0,
    30_000,
  ),
  GREENROOM_MAX_QUEUE_LENGTH: setting.integer(
    "Maximum number of sessions that wait for capacity. Further starts get 429.",
    100,
  ),
  GREENROOM_MAX_PENDING_STARTS: setting.integer(
    "Maximum number of starts of one gateway that no dispatcher has handled yet. Further starts get 429.",
    256,
    1,
  ),
  GREENROOM_MAX_EVENT_LOOP_LAG_MS: setting.integer(
    "Maximum event loop lag of the gateway in ms (median of a second). Above it, starts get 429.",
    500,
    10,
  ),
  GREENROOM_CONNECTIONS_MAX: setting.integer(
    "Maximum number of connections to one gateway, of any kind.",
    20_000,
    1,
  ),
  GREENROOM_STREAMS_MAX: setting.integer(
    "Maximum number of open event streams and WebSockets of one gateway.",
    10_000,
    0,
  ),
  GREENROOM_STREAMS_PER_CLIENT: setting.integer(
    "Maximum number of open event streams and WebSockets of one client address; 0 means no limit. Use 0 behind a proxy.",
    0,
  ),
  GREENROOM_REQUEST_TIMEOUT_MS: setting.integer(
    "Maximum time in ms in which a request must arrive.",
    30_000,
    100,
  ),
  GREENROOM_SLOW_CLIENT_TIMEOUT_MS: setting.integer(
    "Maximum time in ms for which a client may leave data unread. Then its connection is closed.",
    60_000,
    100,
  ),
  GREENROOM_DEFAULT_PROFILE: setting.optionalText(
    "Profile of a start that names none. Default: assistant if it is running, otherwise echo.",
  ),
  GREENROOM_INBOUND_ROOMS: setting.parsed(INBOUND_ROOMS_DESCRIPTION, parseInboundRooms),
  GREENROOM_PROVIDERS: setting.parsed(PROVIDERS_DESCRIPTION, parseProviderRules),
  GREENROOM_TOKEN_TTL_S: setting.integer(
    "Lifetime in s of a room token, in which its user must join.",
    600,
    10,
    86_400,
  ),
  GREENROOM_BODY_LIMIT_BYTES: setting.integer(
    "Maximum size of a request body, in bytes. A start and a token request may have 2 MiB, for metadata.",
    65_536,
    1024,
  ),
  GREENROOM_BULK_LIMIT_BYTES: setting.integer(
    "Maximum size in bytes of a request that creates tasks in bulk. The request is read as a stream.",
    64 * 1024 * 1024,
    1024,
  ),
  GREENROOM_CORS_ORIGIN: setting.optionalText(
    "Origins of web pages that may use the API, separated by commas, or *. Default: origins on this machine.",
  ),
  GREENROOM_METRICS: setting.choice(
    "Clients that may read the gateway's /metrics: programs on the same machine without a proxy in between (loopback), all, or none (off).",
    ["loopback", "all", "off"],
    "loopback",
  ),
  GREENROOM_RATE_LIMIT: setting.integer(
    "Maximum number of requests per minute from one address; 0 means no limit. Use 0 behind a proxy with its own limit.",
    0,
  ),
};
export type GatewayConfig = ConfigOf<typeof gatewaySettings>;
