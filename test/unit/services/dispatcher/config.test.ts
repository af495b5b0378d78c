// The dispatcher's settings. All values differ, so that none can be mistaken for another.
import { expect, test } from "vitest";
import { readConfig } from "../../../../libs/runtime/config.ts";
import * as dispatcher from "../../../../services/dispatcher/config.ts";

test("gives the dispatcher its settings, which reach the record of each session", () => {
  const config = readConfig(dispatcher.dispatcherSettings, {
    GREENROOM_MAX_ATTEMPTS: "11",
    GREENROOM_QUEUE_DEADLINE_MS: "12",
    GREENROOM_JOIN_DEADLINE_MS: "13",
    GREENROOM_COLD_START_GRACE_MS: "14",
    GREENROOM_READY_DEADLINE_MS: "15",
    GREENROOM_MAX_DURATION_MS: "16",
    GREENROOM_IDLE_MS: "17",
    GREENROOM_USER_JOIN_TIMEOUT_MS: "18",
  });
  expect(dispatcher.sessionDefaultsOf(config)).toEqual({
    maxAttempts: 11,
    deadlineMs: {
      requested: 12,
      dispatched: 13,
      coldExtra: 14,
      joined: 15,
      maxDuration: 16,
      idle: 17,
      userAbsent: 18,
    },
  });
});
