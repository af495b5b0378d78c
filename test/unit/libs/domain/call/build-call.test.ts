// Call records of ended sessions, for each way in which a session can go.
import { describe, expect, test } from "vitest";
import {
  type AgentUsage,
  MODELS_MAX,
  TOOLS_MAX,
  type UsageReport,
} from "../../../../../libs/contracts/calls/call.ts";
import type { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import type { HistoryEntry, SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { calls } from "../../../../../libs/contracts/streams.ts";
import {
  buildCall,
  type EndedSession,
  endedAtOf,
  readyAttempts,
} from "../../../../../libs/domain/call/build-call.ts";
import { HistogramBuilder } from "../../../../../libs/domain/call/histogram.ts";
import { sumTools, sumUsage } from "../../../../../libs/domain/call/usage.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";

const second = (n: number): string => new Date(Date.UTC(2026, 0, 31, 12, 0, 0) + n * 1000).toISOString();
const at = (
  n: number,
  state: HistoryEntry["state"],
  attempt: number,
  rest: Partial<HistoryEntry> = {},
): HistoryEntry => ({ state, at: second(n), attempt, ...rest });

const ended = (history: HistoryEntry[], rest: Partial<SessionRecord> = {}): EndedSession => ({
  ...aSession("s1"),
  attempt: history.at(-1)?.attempt ?? 1,
  endedReason: "completed",
  fault: "none",
  history,
  ...rest,
  state: "ended",
});

const oneAttempt = [
  at(0, "requested", 1),
  at(1, "dispatched", 1, { host: "h1" }),
  at(2, "joined", 1, { host: "h1" }),
  at(3, "ready", 1, { host: "h1" }),
  at(63, "ended", 1, { host: "h1", reason: "user left" }),
];

const report = (attempt: number, rest: Partial<UsageReport> = {}): UsageReport => ({
  v: 1,
  tenant: "t",
  sessionId: "s1",
  attempt,
  profile: "echo",
  host: `h${attempt}`,
  warm: "hot",
  joinMs: 5,
  readyMs: 20,
  servedMs: 59_000,
  ended: "released",
  at: second(64),
  ...rest,
});

const histogramOf = (...values: number[]) => {
  const builder = new HistogramBuilder();
  for (const value of values) builder.add(value);
  return builder.build();
};

const usageOf = (rest: Partial<AgentUsage> = {}): AgentUsage => ({
  tools: [],
  usage: [],
  userTurns: 2,
  agentTurns: 3,
  interruptions: 1,
  errors: 0,
  ...rest,
});

describe("buildCall of versions", () => {
  test("has the version of each attempt, and of the last one that joined", () => {
    const history = [
      at(0, "requested", 1),
      at(1, "dispatched", 1, { host: "h1" }),
      at(2, "ready", 1, { host: "h1", version: "v1" }),
      at(3, "requested", 2),
      at(4, "dispatched", 2, { host: "h2" }),
      at(5, "ready", 2, { host: "h2", version: "v2" }),
      at(6, "requested", 3),
      at(7, "dispatched", 3, { host: "h3" }),
      at(8, "ended", 3, { host: "h3" }),
    ];
    const call = buildCall(ended(history), []);
    expect(call.version).toBe("v2");
    expect(call.attempts.map(({ version }) => version)).toEqual(["v1", "v2", undefined]);
  });

  test("has none for a record without", () => {
    expect(buildCall(ended(oneAttempt), [])).not.toHaveProperty("version");
  });
});

describe("buildCall of a call with one agent", () => {
  const record = ended(oneAttempt, { warm: "hot", timings: { joinMs: 4, readyMs: 19 } });

  test("contains the times, the duration of each state and the outcome", () => {
    const call = buildCall(record, [report(1)]);
    expect(call).toMatchObject({
      startedAt: second(0),
      answeredAt: second(3),
      endedAt: second(63),
      outcome: "completed",
      endedReason: "completed",
      fault: "none",
      reason: "user left",
      answered: true,
      startMs: 3000,
      warm: "hot",
      provider: "pool",
      failovers: 0,
      stateMs: { requested: 1000, dispatched: 1000, joined: 1000, ready: 60_000 },
      attempts: [{ attempt: 1, host: "h1", warm: "hot", joinMs: 5, readyMs: 20, ended: "user left" }],
    });
    expect(call).not.toHaveProperty("failoverReason");
  });

  test("uses the duration that the host measured, or the clocks' without a report", () => {
    expect(buildCall(record, [report(1)]).metrics.durationMs).toBe(59_000);
    expect(buildCall(record, []).metrics.durationMs).toBe(60_000);
    expect(buildCall(record, []).attempts).toMatchObject([{ warm: "hot", joinMs: 4, readyMs: 19 }]);
  });

  test("has the subject and the schema of the stream", () => {
    const call = buildCall(record, [report(1, { usage: usageOf({ llm: histogramOf(100) }) })]);
    expect(calls.schema.parse(JSON.parse(JSON.stringify(call)))).toEqual(call);
    expect(calls.subjectOf(call)).toBe("call.t.20260131.s1");
  });
});

describe("buildCall of a call with a failover", () => {
  const record = ended(
    [
      ...oneAttempt.slice(0, 4),
      at(10, "requested", 2, { reason: "host h1 is gone" }),
      at(11, "dispatched", 2, { host: "h2" }),
      at(12, "ready", 2, { host: "h2" }),
      at(33, "ended", 2, { host: "h2", reason: "user left" }),
    ],
    { failures: 1, warm: "warm" },
  );

  test("counts the failover, with its reason, and lists both attempts", () => {
    const call = buildCall(record, [report(2, { warm: "warm" }), report(1, { ended: "lost" })]);
    expect(call).toMatchObject({
      failovers: 1,
      failoverReason: "host h1 is gone",
      failures: 1,
      warm: "hot",
      attempts: [
        { attempt: 1, host: "h1", warm: "hot", ended: "host h1 is gone" },
        { attempt: 2, host: "h2", warm: "warm", ended: "user left" },
      ],
    });
    expect(call.metrics.durationMs).toBe(30_000);
  });

  test("adds up the usage of both agents, in any order of their reports", () => {
    const first = report(1, {
      usage: usageOf({
        llm: histogramOf(100, 200),
        tools: [{ name: "look_up", calls: 2, errors: 1, totalMs: 300, maxMs: 200 }],
        usage: [{ kind: "llm", provider: "openai", model: "m", inputTokens: 10, outputTokens: 5 }],
      }),
    });
    const next = report(2, {
      usage: usageOf({
        llm: histogramOf(400),
        tools: [{ name: "look_up", calls: 1, errors: 0, totalMs: 50, maxMs: 50 }],
        usage: [
          { kind: "llm", provider: "openai", model: "m", inputTokens: 1, outputTokens: 2 },
          { kind: "tts", provider: "openai", model: "t", characters: 80, audioMs: 4000 },
        ],
      }),
    });
    const call = buildCall(record, [first, next]);
    expect(call.metrics).toMatchObject({
      toolCalls: 3,
      toolErrors: 1,
      toolExecutionMs: 350,
      tools: [{ name: "look_up", calls: 3, errors: 1, totalMs: 350, maxMs: 200 }],
      llm: { count: 3, maxMs: 400 },
      inputTokens: 11,
      outputTokens: 7,
      characters: 80,
      spokenMs: 4000,
      userTurns: 4,
      agentTurns: 6,
      interruptions: 2,
    });
    expect(buildCall(record, [next, first])).toEqual(call);
  });

  test("lists the attempts that became ready", () => {
    expect(readyAttempts(record)).toEqual([1, 2]);
  });
});

describe("buildCall, outcome", () => {
  const cut = (states: number, reason: SessionRecord["endedReason"], fault: SessionRecord["fault"]) =>
    buildCall(ended([...oneAttempt.slice(0, states), at(63, "ended", 1)], { endedReason: reason, fault }), [])
      .outcome;

  test.each([
    [4, "completed", "none", "completed"],
    [4, "max_duration", "none", "completed"],
    [4, "idle", "customer", "completed"],
    [4, "expired", "customer", "abandoned"],
    [2, "cancelled", "customer", "abandoned"],
    [1, "no_capacity", "platform", "failed"],
    [4, "agent_lost", "platform", "failed"],
    [2, "agent_error", "agent", "failed"],
    [2, "provider_error", "provider", "failed"],
  ] as const)("maps %i states, ended as %s by %s, to %s", (states, reason, fault, outcome) => {
    expect(cut(states, reason, fault)).toBe(outcome);
  });

  const launch = (call: LaunchRecord["call"]): LaunchRecord => ({
    v: 1,
    tenant: "t",
    sessionId: "s1",
    attempt: 1,
    provider: "sip",
    profile: "echo",
    state: "over",
    by: "c",
    takeovers: 0,
    call,
    at: second(9),
    writeId: "o",
  });
  const toNumber = ended(oneAttempt, { provider: "sip", call: { to: "+15550100" } });

  test.each(["busy", "noAnswer", "voicemail"] as const)(
    "maps a phone call that is %s to unanswered",
    (status) => {
      const call = buildCall(toNumber, [], [launch({ status, sipCode: 486 })]);
      expect(call).toMatchObject({
        outcome: "unanswered",
        answered: false,
        phoneCall: { to: "+15550100", status, sipCode: 486 },
      });
      expect(call).not.toHaveProperty("answeredAt");
    },
  );

  test("maps a phone call that was hung up while it rang to unanswered", () => {
    const call = buildCall(toNumber, [], [launch({ status: "hungUp", unanswered: true })]);
    expect(call).toMatchObject({ outcome: "unanswered", answered: false, phoneCall: { unanswered: true } });
  });

  test("never counts a phone call that was not dialed as answered", () => {
    const call = buildCall(toNumber, [], []);
    expect(call).toMatchObject({ answered: false, provider: "sip" });
    expect(call).not.toHaveProperty("answeredAt");
  });

  test("maps an answered phone call to completed", () => {
    const call = buildCall(toNumber, [], [launch({ status: "hungUp", answeredBy: "human" })]);
    expect(call).toMatchObject({ outcome: "completed", answered: true, provider: "sip" });
  });
});

describe("buildCall of a corrupt record", () => {
  test("ignores an invalid time", () => {
    const record = ended([...oneAttempt, { state: "ended", at: "soon", attempt: 1 }]);
    expect(endedAtOf(record)).toBe(second(63));
    expect(calls.schema.safeParse(buildCall(record, [])).success).toBe(true);
  });

  test("has no negative durations when clocks run backwards", () => {
    const record = ended([at(10, "requested", 1), at(5, "ready", 1, { host: "h" }), at(1, "ended", 1)]);
    const call = buildCall(record, []);
    expect(call).toMatchObject({ startMs: 0, stateMs: { requested: 0, ready: 0 } });
    expect(call.metrics.durationMs).toBe(0);
    expect(calls.schema.safeParse(call).success).toBe(true);
  });

  test("has no attempt when the session never found an agent", () => {
    const record = ended([at(0, "requested", 1), at(9, "ended", 1, { reason: "no agent was free" })], {
      endedReason: "no_capacity",
      fault: "platform",
    });
    expect(buildCall(record, [])).toMatchObject({
      attempts: [],
      answered: false,
      reason: "no agent was free",
      metrics: { durationMs: 0 },
    });
  });
});

describe("sumTools and sumUsage", () => {
  const tool = (n: number) => ({ name: `tool-${n}`, calls: 1, errors: 0, totalMs: 10, maxMs: 10 });
  const usage = (n: number) => ({ kind: "llm" as const, provider: "p", model: `m-${n}`, inputTokens: 1 });
  const numbers = Array.from({ length: 40 }, (_, n) => n);

  test("adds up names above the limit together, at once or one by one", () => {
    let tools: ReturnType<typeof sumTools> = [];
    for (const n of numbers) tools = sumTools([...tools, tool(n)]);
    expect(tools).toEqual(sumTools(numbers.map(tool)));
    expect(tools).toHaveLength(TOOLS_MAX + 1);
    expect(tools.find(({ name }) => name === "other")).toMatchObject({ calls: 40 - TOOLS_MAX });
    let models: ReturnType<typeof sumUsage> = [];
    for (const n of numbers) models = sumUsage([...models, usage(n)]);
    expect(models).toEqual(sumUsage(numbers.map(usage)));
    expect(models).toHaveLength(MODELS_MAX + 1);
    expect(models.find(({ model }) => model === "other")).toMatchObject({ inputTokens: 40 - MODELS_MAX });
  });
});
