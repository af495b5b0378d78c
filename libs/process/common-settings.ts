// The settings that every service reads, and the names of all settings there are.
import { type ConfigOf, setting } from "./config.ts";
import { logLevels } from "./log.ts";

export const commonSettings = {
  NATS_URL: setting.text("Where NATS is; several servers are separated by commas.", "nats://127.0.0.1:4222"),
  GREENROOM_TENANT: setting.text("The tenant of everything that this deployment serves.", "default"),
  GREENROOM_REPLICAS: setting.numberOf(
    "Copies of every stream and bucket: 1 on one server, 3 on a cluster. More are made when it is raised; to take some away is left to an operator.",
    [1, 3, 5],
    1,
  ),
  GREENROOM_LOG_LEVEL: setting.choice("What is logged at least.", logLevels, "info"),
  LIVEKIT_URL: setting.optionalText(
    "Where LiveKit is, as ws:// or wss://. Without it no agent can join a room.",
  ),
  LIVEKIT_PUBLIC_URL: setting.optionalText(
    "The address of LiveKit that clients are given, when it is another one.",
  ),
  LIVEKIT_API_KEY: setting.optionalText("The key that room tokens are made with."),
  LIVEKIT_API_SECRET: setting.secret("The secret of that key."),
  LIVEKIT_MOCK_MODE: setting.flag("Runs the whole pipeline with simulated rooms, without any LiveKit."),
};
export type CommonConfig = ConfigOf<typeof commonSettings>;

/**
 * Every GREENROOM_* name of any service. Each service checks the shared environment against it; a test
 * holds it against the services' own tables.
 */
export const allSettingNames: readonly string[] = [
  "GREENROOM_AGENTS_DIR",
  "GREENROOM_ALIVE_MS",
  "GREENROOM_BIND",
  "GREENROOM_BODY_LIMIT_BYTES",
  "GREENROOM_CORS_ORIGIN",
  "GREENROOM_DATA_DIR",
  "GREENROOM_DEFAULT_PROFILE",
  "GREENROOM_DRAIN_END",
  "GREENROOM_DRAIN_MS",
  "GREENROOM_HANDOVER_SENTENCE",
  "GREENROOM_HOST_ID",
  "GREENROOM_IDLE_MS",
  "GREENROOM_JOIN_DEADLINE_MS",
  "GREENROOM_CALLING_HOURS",
  "GREENROOM_CHROMIUM",
  "GREENROOM_COLD_EXTRA_MS",
  "GREENROOM_CONNECTIONS_MAX",
  "GREENROOM_KEEP_ENDED_MS",
  "GREENROOM_LAG_MAX_MS",
  "GREENROOM_LIVEKIT_SERVER",
  "GREENROOM_LOG_LEVEL",
  "GREENROOM_MAX_AGENTS",
  "GREENROOM_MAX_ATTEMPTS",
  "GREENROOM_MAX_DURATION_MS",
  "GREENROOM_NATS_SERVER",
  "GREENROOM_NATS_MONITOR_URL",
  "GREENROOM_NATS_SYNC",
  "GREENROOM_NO_DOWNLOAD",
  "GREENROOM_POOL_MIN",
  "GREENROOM_PORT",
  "GREENROOM_QUEUE_DEADLINE_MS",
  "GREENROOM_QUEUE_MAX",
  "GREENROOM_RATE_LIMIT",
  "GREENROOM_READY_DEADLINE_MS",
  "GREENROOM_RELEASES_URL",
  "GREENROOM_REPLICAS",
  "GREENROOM_RESTORE_CONVERSATION",
  "GREENROOM_REPORT_WAIT_MS",
  "GREENROOM_REQUEST_MS",
  "GREENROOM_SPARE_STAGES",
  "GREENROOM_STAGE_MEMORY_MB",
  "GREENROOM_STAGE_PING_MS",
  "GREENROOM_STARTS_MAX",
  "GREENROOM_STREAMS_MAX",
  "GREENROOM_STREAMS_PER_CLIENT",
  "GREENROOM_SWEEP_MS",
  "GREENROOM_TASK_ATTEMPT_MS",
  "GREENROOM_TASK_PROVIDER",
  "GREENROOM_TASK_RATE",
  "GREENROOM_TASKS_PER_PROVIDER",
  "GREENROOM_TASKS_PER_TENANT",
  "GREENROOM_TENANT",
  "GREENROOM_TOKEN_TTL_S",
  "GREENROOM_UNREAD_MS",
  "GREENROOM_USER_ABSENT_MS",
  "GREENROOM_USER_LEFT_MS",
  "GREENROOM_WAIT_MS",
];
