// The agent host's settings. All values differ, so that none can be mistaken for another.
import { expect, test } from "vitest";
import { readConfig } from "../../../../libs/runtime/config.ts";
import * as agentHost from "../../../../services/agent-host/config.ts";

test("gives the agent-host its settings, with what SIGTERM begins", () => {
  const config = readConfig(agentHost.agentHostSettings, {
    GREENROOM_MAX_AGENTS: "11",
    GREENROOM_POOL_MIN: "12",
    GREENROOM_PROCESS_MEMORY_MB: "113",
    GREENROOM_PROCESS_PING_MS: "114",
    GREENROOM_PROCESS_TIMEOUT_MS: "119",
    GREENROOM_READY_AFTER_MS: "120",
    GREENROOM_TRANSCRIPT_DELAY_MS: "122",
    GREENROOM_ISOLATION: "module",
    GREENROOM_AGENTS_VERSION: "3aa285d9",
    GREENROOM_MAX_SESSIONS_PER_PROCESS: "121",
    GREENROOM_UNHANDLED_REJECTIONS: "fail",
    GREENROOM_PREWARM_TIMEOUT_MS: "118",
    GREENROOM_MIN_PROCESSES_PER_PROFILE: "15",
    GREENROOM_USER_REJOIN_GRACE_MS: "16",
    GREENROOM_LOG_LEVEL: "warn",
    GREENROOM_RESTORE_CONVERSATION: "false",
    GREENROOM_FAILOVER_MESSAGE: "One moment.",
    GREENROOM_DRAIN_TIMEOUT_MS: "17",
    GREENROOM_DRAIN_ON_TIMEOUT: "wait",
  });
  expect(agentHost.hostSettingsOf(config)).toEqual({
    maxAgents: 11,
    poolMin: 12,
    processMemoryMb: 113,
    processPingMs: 114,
    processTimeoutMs: 119,
    readyAfterMs: 120,
    transcriptDelayMs: 122,
    isolation: "module",
    agentsVersion: "3aa285d9",
    maxSessionsPerProcess: 121,
    reloadAgents: false,
    concurrentLoads: expect.any(Number),
    unhandledRejections: "fail",
    prewarmTimeoutMs: 118,
    minProcesses: 15,
    userRejoinGraceMs: 16,
    logLevel: "warn",
    failover: { restore: false, message: "One moment." },
  });
  expect(agentHost.drainOf(config)).toEqual({ limitMs: 17, onDeadline: "wait" });
  expect(agentHost.drainOf(readConfig(agentHost.agentHostSettings, {})).onDeadline).toBe("migrate");
});

test("has no version by default, and refuses one of more than 64 characters", () => {
  const versionIn = (GREENROOM_AGENTS_VERSION: string) =>
    agentHost.hostSettingsOf(readConfig(agentHost.agentHostSettings, { GREENROOM_AGENTS_VERSION }))
      .agentsVersion;
  expect(versionIn("")).toBeUndefined();
  expect(versionIn("v".repeat(64))).toHaveLength(64);
  expect(() => versionIn("v".repeat(65))).toThrow(
    "GREENROOM_AGENTS_VERSION: A version may be 64 characters long at most",
  );
});

test("allows a stop longer than the drain timeout, whether set, empty or missing", () => {
  expect(agentHost.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "1000" })).toBe(16_000);
  for (const env of [{}, { GREENROOM_DRAIN_TIMEOUT_MS: "", GREENROOM_DRAIN_ON_TIMEOUT: "" }])
    expect(agentHost.stopMsOf(env)).toBe(615_000);
  expect(agentHost.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "99999999999" })).toBe(2 ** 31 - 1);
});

test("allows an unlimited stop if the host waits for its sessions", () => {
  expect(agentHost.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "0", GREENROOM_DRAIN_ON_TIMEOUT: "wait" })).toBe(
    2 ** 31 - 1,
  );
});
