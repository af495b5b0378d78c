// The janitor's settings. All values differ, so that none can be mistaken for another.
import { expect, test } from "vitest";
import { readConfig } from "../../../../libs/runtime/config.ts";
import * as janitor from "../../../../services/janitor/config.ts";

test("gives the janitor its settings", () => {
  const config = readConfig(janitor.janitorSettings, {
    GREENROOM_SWEEP_MS: "111",
    GREENROOM_AGENT_PING_TIMEOUT_MS: "112",
    GREENROOM_SESSION_RETENTION_MS: "70001",
  });
  expect(janitor.sweepSettingsOf(config)).toEqual({
    sweepMs: 111,
    agentPingTimeoutMs: 112,
    keepEndedMs: 70_001,
  });
});
