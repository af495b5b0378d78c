// Usage that an agent process adds up from AgentSession events, for each job, even if sessions share a model.
import { EventEmitter } from "node:events";
import { type JobContext, runWithJobContextAsync, type voice } from "@livekit/agents";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { AgentUsage, TOOLS_MAX } from "../../../../../libs/contracts/calls/call.ts";
import { quantileOf } from "../../../../../libs/domain/call/histogram.ts";
import { logOwner } from "../../../../../services/agent-host/agent-process/log.ts";
import { JobUsage } from "../../../../../services/agent-host/agent-process/usage.ts";
import type { ProcessToHost } from "../../../../../services/agent-host/pool/messages.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function job(slot: string) {
  const sent: ProcessToHost[] = [];
  const usage = new JobUsage({ slot, send: (message) => sent.push(message) });
  const session = new EventEmitter();
  usage.follow(session as unknown as voice.AgentSession);
  const last = (): AgentUsage => {
    const message = sent.at(-1);
    if (message?.type !== "usage") throw new Error("nothing was sent");
    return message.usage;
  };
  return { usage, session, sent, last };
}

const metrics = (of: object) => ({ type: "metrics_collected", metrics: { timestamp: 1, label: "l", ...of } });
const llm = (ttftMs: number, promptTokens = 100) =>
  metrics({
    type: "llm_metrics",
    ttftMs,
    promptTokens,
    promptCachedTokens: 0,
    completionTokens: 20,
    metadata: { modelProvider: "openai", modelName: "gpt" },
  });

/** A model's events run in the context of the job that called it. */
const inJob = (slot: string, call: () => void): Promise<void> =>
  runWithJobContextAsync({ [logOwner]: { slot, sessionId: slot } } as unknown as JobContext, async () =>
    call(),
  );

describe("JobUsage", () => {
  test("adds up latencies, usage and turns, in the shape of the store", () => {
    const { session, usage, last } = job("a");
    session.emit("metrics_collected", llm(300));
    session.emit("metrics_collected", llm(500));
    // A request that was cancelled before its first token has no such time.
    session.emit("metrics_collected", llm(-1, 0));
    session.emit(
      "metrics_collected",
      metrics({
        type: "tts_metrics",
        ttfbMs: 200,
        charactersCount: 40,
        audioDurationMs: 3000.4,
        metadata: { modelProvider: "openai", modelName: "tts" },
      }),
    );
    session.emit("metrics_collected", metrics({ type: "stt_metrics", audioDurationMs: 5000 }));
    session.emit(
      "metrics_collected",
      metrics({ type: "eou_metrics", endOfUtteranceDelayMs: 600, transcriptionDelayMs: 0 }),
    );
    session.emit("conversation_item_added", { item: { type: "message", role: "user", metrics: {} } });
    session.emit("conversation_item_added", {
      item: { type: "message", role: "assistant", interrupted: true, metrics: { e2eLatency: 1.25 } },
    });
    session.emit("conversation_item_added", { item: { type: "agent_handoff" } });
    session.emit("error", { type: "error" });
    usage.finish();
    const found = last();
    expect(AgentUsage.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    expect(found).toMatchObject({
      llm: { count: 2, sumMs: 800, maxMs: 500 },
      tts: { count: 1 },
      endOfTurn: { count: 1, sumMs: 600 },
      response: { count: 1, sumMs: 1250 },
      userTurns: 1,
      agentTurns: 1,
      interruptions: 1,
      errors: 1,
    });
    // No STT latency, because the end of the speech was not detected.
    expect(found).not.toHaveProperty("stt");
    expect(quantileOf(found.llm!, 1)).toBeCloseTo(500, -1);
    expect(found.usage).toEqual([
      { kind: "llm", provider: "openai", model: "gpt", inputTokens: 200, outputTokens: 60, requests: 3 },
      { kind: "stt", provider: "", model: "", audioMs: 5000 },
      { kind: "tts", provider: "openai", model: "tts", characters: 40, audioMs: 3000, requests: 1 },
    ]);
  });

  test("adds up tool calls by name, and those above the limit together", () => {
    const { session, usage, last } = job("a");
    const at = Date.now();
    vi.spyOn(performance, "now").mockReturnValue(1e9);
    for (let n = 0; n < TOOLS_MAX + 3; n++) {
      session.emit("function_tools_executed", {
        functionCalls: [{ name: `tool-${n}`, createdAt: at }],
        functionCallOutputs: [{ createdAt: at + 100, isError: n === 0 }],
      });
    }
    usage.finish();
    vi.restoreAllMocks();
    const { tools } = last();
    expect(tools).toHaveLength(TOOLS_MAX + 1);
    expect(tools.find(({ name }) => name === "tool-0")).toEqual({
      name: "tool-0",
      calls: 1,
      errors: 1,
      totalMs: 100,
      maxMs: 100,
    });
    expect(tools.find(({ name }) => name === "other")).toMatchObject({ calls: 3, totalMs: 300 });
  });

  test("limits a tool's time by the session's length when the clock jumps", () => {
    const { session, usage, last } = job("a");
    session.emit("function_tools_executed", {
      functionCalls: [{ name: "t", createdAt: 0 }],
      functionCallOutputs: [{ createdAt: 3_600_000, isError: false }],
    });
    session.emit("function_tools_executed", {
      functionCalls: [{ name: "t", createdAt: 3_600_000 }],
      functionCallOutputs: [{ createdAt: 0, isError: false }],
    });
    usage.finish();
    expect(last().tools[0]).toMatchObject({ calls: 2 });
    expect(last().tools[0]!.totalMs).toBeLessThan(60_000);
  });
});

describe("JobUsage of several sessions", () => {
  test("counts the requests of a shared model for the job that made them", async () => {
    const [one, two] = [job("one"), job("two")];
    // Both sessions get the event, since both listen to the model.
    await inJob("one", () => {
      for (const { session } of [one, two]) session.emit("metrics_collected", llm(100));
    });
    await inJob("two", () => {
      for (const { session } of [one, two]) session.emit("metrics_collected", llm(900));
    });
    one.usage.finish();
    two.usage.finish();
    expect(one.last().llm).toMatchObject({ count: 1, maxMs: 100 });
    expect(two.last().llm).toMatchObject({ count: 1, maxMs: 900 });
  });

  test("adds up the sessions of one job", () => {
    const { usage, session, last } = job("a");
    const second = new EventEmitter();
    usage.follow(second as unknown as voice.AgentSession);
    usage.follow(second as unknown as voice.AgentSession);
    session.emit("metrics_collected", llm(100));
    second.emit("metrics_collected", llm(200));
    usage.finish();
    expect(last().llm).toMatchObject({ count: 2 });
  });
});

describe("JobUsage messages", () => {
  test("sends changes at most every five seconds", () => {
    const { session, sent } = job("a");
    vi.advanceTimersByTime(60_000);
    expect(sent).toHaveLength(0);
    for (let n = 0; n < 100; n++) session.emit("metrics_collected", llm(n));
    vi.advanceTimersByTime(4999);
    expect(sent).toHaveLength(0);
    vi.advanceTimersByTime(1);
    expect(sent).toHaveLength(1);
    vi.advanceTimersByTime(60_000);
    expect(sent).toHaveLength(1);
  });

  test("sends a last message at the end, but none without a session", () => {
    const { usage, sent } = job("a");
    usage.finish();
    expect(sent).toHaveLength(1);
    const none: ProcessToHost[] = [];
    new JobUsage({ slot: "b", send: (message) => none.push(message) }).finish();
    expect(none).toHaveLength(0);
  });
});
