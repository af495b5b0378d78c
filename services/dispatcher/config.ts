// The dispatcher's settings.
import type { Deadlines } from "../../libs/contracts/sessions/session.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";

const MINUTE_MS = 60_000;

export const dispatcherSettings = {
  ...commonSettings,
  GREENROOM_MAX_ATTEMPTS: setting.integer("Number of failed attempts after which a session ends.", 3, 1, 100),
  GREENROOM_QUEUE_DEADLINE_MS: setting.integer(
    "Maximum time in ms for which a session waits for a free agent.",
    MINUTE_MS,
    1,
  ),
  GREENROOM_JOIN_DEADLINE_MS: setting.integer(
    "Maximum time in ms in which an agent must join the room.",
    10_000,
    1,
  ),
  GREENROOM_COLD_START_GRACE_MS: setting.integer(
    "Additional time in ms to join the room for a cold agent.",
    20_000,
    0,
  ),
  GREENROOM_READY_DEADLINE_MS: setting.integer("Maximum time in ms from joined to ready.", 15_000, 1),
  GREENROOM_MAX_DURATION_MS: setting.integer("Maximum duration of a conversation in ms.", 240 * MINUTE_MS, 1),
  GREENROOM_IDLE_MS: setting.integer(
    "Time in ms without speech after which a session ends as idle.",
    30 * MINUTE_MS,
    1,
  ),
  GREENROOM_USER_JOIN_TIMEOUT_MS: setting.integer(
    "Maximum time in ms for which a ready agent waits for its user to join.",
    5 * MINUTE_MS,
    1,
  ),
};
export type DispatcherConfig = ConfigOf<typeof dispatcherSettings>;

/** The defaults for the record of a new session. */
export const sessionDefaultsOf = (config: DispatcherConfig) => ({
  deadlineMs: deadlinesOf(config),
  maxAttempts: config.GREENROOM_MAX_ATTEMPTS,
});

const deadlinesOf = (config: DispatcherConfig): Deadlines => ({
  requested: config.GREENROOM_QUEUE_DEADLINE_MS,
  dispatched: config.GREENROOM_JOIN_DEADLINE_MS,
  coldExtra: config.GREENROOM_COLD_START_GRACE_MS,
  joined: config.GREENROOM_READY_DEADLINE_MS,
  maxDuration: config.GREENROOM_MAX_DURATION_MS,
  idle: config.GREENROOM_IDLE_MS,
  userAbsent: config.GREENROOM_USER_JOIN_TIMEOUT_MS,
});
