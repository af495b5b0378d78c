// Settings reach their destination: all values differ, so that none can be mistaken for another.
import { describe, expect, test } from "vitest";
import { CALL_SLOTS_MAX } from "../../../libs/contracts/tasks/task.ts";
import { readConfig, type Settings } from "../../../libs/runtime/config.ts";
import * as agentHost from "../../../services/agent-host/config.ts";
import * as calls from "../../../services/calls/config.ts";
import * as dispatcher from "../../../services/dispatcher/config.ts";
import * as handoffs from "../../../services/handoffs/config.ts";
import * as janitor from "../../../services/janitor/config.ts";
import * as providers from "../../../services/providers/config.ts";
import { isOpen } from "../../../services/tasks/calling-hours.ts";
import * as tasks from "../../../services/tasks/config.ts";

const read = <S extends Settings>(settings: S, env: Record<string, string> = {}) => readConfig(settings, env);

describe("the settings", () => {
  test("gives the agent-host its settings, with what SIGTERM begins", () => {
    const config = read(agentHost.agentHostSettings, {
      GREENROOM_MAX_AGENTS: "11",
      GREENROOM_POOL_MIN: "12",
      GREENROOM_PROCESS_MEMORY_MB: "113",
      GREENROOM_PROCESS_PING_MS: "114",
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
      minProcesses: 15,
      userRejoinGraceMs: 16,
      logLevel: "warn",
      failover: { restore: false, message: "One moment." },
    });
    expect(agentHost.drainOf(config)).toEqual({ limitMs: 17, onDeadline: "wait" });
    expect(agentHost.drainOf(read(agentHost.agentHostSettings)).onDeadline).toBe("migrate");
  });

  test("gives the dispatcher its settings, which reach the record of each session", () => {
    const config = read(dispatcher.dispatcherSettings, {
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

  test("gives the janitor its settings", () => {
    const config = read(janitor.janitorSettings, {
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

  test("gives the providers service its settings: launches and claims", () => {
    const config = read(providers.providersSettings, {
      GREENROOM_LIVEKIT_DISPATCH_TIMEOUT_MS: "511",
      GREENROOM_PROVIDER_POLL_MS: "112",
      GREENROOM_USER_REJOIN_GRACE_MS: "13",
      GREENROOM_SIP_RING_S: "14",
      GREENROOM_DRAIN_TIMEOUT_MS: "38999",
      GREENROOM_CLAIM_TIMEOUT_MS: "116",
      GREENROOM_CLAIM_REPLAY_WINDOW_MS: "17",
      GREENROOM_CLAIM_RETENTION_MS: "1018",
    });
    expect(providers.launchSettingsOf(config)).toEqual({
      limits: { dispatchTimeoutMs: 511, observeMs: 112, userLeftMs: 13 },
      ringingWaitMs: 38_999,
    });
    expect(providers.claimLimitsOf(config)).toEqual({ claimMs: 116, repeatMs: 17, keepMs: 1018 });
  });

  test("gives the handoffs service its settings: whether it accepts, how many at once, and the provider of agents", () => {
    const settingsBy = (env: Record<string, string>, logged: string[] = []) =>
      handoffs.handoffSettingsOf(read(handoffs.handoffsSettings, env), {
        info: (text: unknown) => logged.push(String(text)),
      } as never);
    const settings = settingsBy({
      INGESTION_ENABLED: "false",
      INGESTION_BATCH_SIZE: "19",
      LAUNCHER_ENABLED: "true",
      AGENT_LAUNCHER_URL: "http://runner",
      GREENROOM_PROVIDERS: "sales=webhook:http://other",
    });
    expect(settings).toMatchObject({ takesHandoffs: false, batchSize: 19, launcher: "webhook" });
    expect([settings.configuredFor("sales"), settings.configuredFor("echo")]).toEqual(["webhook", undefined]);
    const logged: string[] = [];
    expect(settingsBy({}, logged)).toMatchObject({ takesHandoffs: true, batchSize: 25, launcher: undefined });
    expect(logged).toEqual([]);
    settingsBy({ INGESTION_POLL_INTERVAL_MS: "1000" }, logged);
    expect(logged.join()).toContain("INGESTION_POLL_INTERVAL_MS is ignored");
    expect(() => settingsBy({ LAUNCHER_ENABLED: "true" })).toThrow(/AGENT_LAUNCHER_URL/);
  });

  test("gives the tasks service its settings: call slots, rate, calling hours and the attempts' time limit", () => {
    const settings = tasks.taskSettingsOf(
      read(tasks.tasksSettings, {
        GREENROOM_TASKS_PER_TENANT: "11",
        GREENROOM_TASKS_PER_PROVIDER: "12 vapi=13",
        GREENROOM_TASK_RATE: "14.5",
        GREENROOM_CALLING_HOURS: "Mo-Fr 09:00-20:00 Europe/Berlin",
        GREENROOM_TASK_ATTEMPT_MS: "1015",
        GREENROOM_TASK_PROVIDER: "livekit",
        GREENROOM_PROVIDERS: "sales=vapi:abc",
      }),
    );
    const { limits, providerOf } = settings;
    expect(settings).toMatchObject({ rate: 14.5, deadlineMs: { attempt: 1015 } });
    expect(limits).toMatchObject({ perTenant: 11, total: CALL_SLOTS_MAX });
    expect([limits.perProvider("sip"), limits.perProvider("vapi")]).toEqual([12, 13]);
    expect([providerOf("sales"), providerOf("echo")]).toEqual(["vapi", "livekit"]);
    // A Monday in winter: 08:30 and 09:30 in Berlin.
    const hours = limits.callingHours;
    const times = ["2026-01-05T07:30:00Z", "2026-01-05T08:30:00Z"];
    expect(times.map((time) => hours && isOpen(hours, Date.parse(time)))).toEqual([false, true]);
    const byDefault = tasks.taskSettingsOf(read(tasks.tasksSettings));
    expect(byDefault.limits.callingHours).toBeUndefined();
  });

  test("gives the calls service its settings: call records and key figures", () => {
    const config = read(calls.callsSettings, {
      GREENROOM_REPORT_WAIT_MS: "11",
      METRICS_LOOKBACK_DAYS: "12",
      KPI_ROLLUP_ENABLED: "false",
      KPI_ROLLUP_INTERVAL_MS: "113",
      KPI_LOOKBACK_DAYS: "14",
    });
    expect(calls.callSettingsOf(config)).toEqual({
      reportWaitMs: 11,
      metricsLookbackDays: 12,
      kpis: false,
      kpiIntervalMs: 113,
      kpiLookbackDays: 14,
    });
    expect(calls.callSettingsOf(read(calls.callsSettings)).kpis).toBe(true);
  });
});

describe("the time limit of a stop", () => {
  test("exceeds an agent-host's drain timeout, whether set, empty or missing", () => {
    expect(agentHost.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "1000" })).toBe(16_000);
    for (const env of [{}, { GREENROOM_DRAIN_TIMEOUT_MS: "", GREENROOM_DRAIN_ON_TIMEOUT: "" }])
      expect(agentHost.stopMsOf(env)).toBe(615_000);
    expect(agentHost.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "99999999999" })).toBe(2 ** 31 - 1);
  });

  test("is unlimited for an agent-host that waits for its sessions", () => {
    expect(agentHost.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "0", GREENROOM_DRAIN_ON_TIMEOUT: "wait" })).toBe(
      2 ** 31 - 1,
    );
  });

  test("exceeds the ring time of a providers service, whether set, empty or missing", () => {
    expect(providers.stopMsOf({ GREENROOM_SIP_RING_S: "60" })).toBe(95_000);
    expect(providers.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "1000" })).toBe(11_000);
    for (const env of [{}, { GREENROOM_SIP_RING_S: "", GREENROOM_DRAIN_TIMEOUT_MS: "" }])
      expect(providers.stopMsOf(env)).toBe(80_000);
  });
});
