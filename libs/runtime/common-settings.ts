// The settings that every service has.
import { type ConfigOf, setting } from "./config.ts";
import { logLevels } from "./log.ts";

export const commonSettings = {
  NATS_URL: setting.text("Address of NATS. Separate several servers with commas.", "nats://127.0.0.1:4222"),
  GREENROOM_TENANT: setting.text("Tenant that this deployment serves.", "default"),
  GREENROOM_REPLICAS: setting.numberOf(
    "Number of copies of every stream and bucket: 1 for a single server, 3 for a cluster. A higher value adds copies. A lower value removes none.",
    [1, 3, 5],
    1,
  ),
  GREENROOM_LOG_LEVEL: setting.choice("Minimum level of log lines.", logLevels, "info"),
  GREENROOM_METRICS_PORT: setting.integer(
    "Port on which this process serves GET /metrics for Prometheus; 0 disables it. The gateway also serves metrics on its own port. With `npm start`, the first process besides the gateways gets this port, and each other process the next one.",
    0,
    0,
    65_535,
  ),
  GREENROOM_METRICS_BIND: setting.text("Address on which GREENROOM_METRICS_PORT listens.", "127.0.0.1"),
  LIVEKIT_URL: setting.optionalText(
    "Address of LiveKit: ws:// or wss://. Without it, no agent can join a room.",
  ),
  LIVEKIT_PUBLIC_URL: setting.optionalText("Address of LiveKit for clients, if it differs from LIVEKIT_URL."),
  LIVEKIT_API_KEY: setting.optionalText("API key of LiveKit. Room tokens are created with it."),
  LIVEKIT_API_SECRET: setting.secret("Secret of LIVEKIT_API_KEY."),
  LIVEKIT_MOCK_MODE: setting.flag("Simulates rooms, so that everything runs without LiveKit."),
};
export type CommonConfig = ConfigOf<typeof commonSettings>;
