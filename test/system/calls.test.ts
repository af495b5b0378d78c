// Call records of sessions with models, a tool and a failover, with everything that was measured.
import { fork } from "node:child_process";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { conversations } from "../../libs/contracts/buckets.ts";
import { DEFAULT_TENANT, sessionKey } from "../../libs/contracts/ids.ts";
import { compiledFile } from "../../libs/runtime/compiled.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { type DeepgramStandIn, startDeepgramStandIn } from "../kit/fakes/deepgram.ts";
import { type ChatMessage, lastOf, type OpenAiStandIn, startOpenAiStandIn } from "../kit/fakes/openai.ts";
import { synthesize } from "../kit/fixtures/speech.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import type { Json } from "../kit/stack/stack.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const QUESTION = "where is order seven";
const GREETING = "Hello, what can I do for you?";
const MESSAGE = "Sorry, I was cut off for a moment.";
const TALK_MS = 240_000;
/** The usage that the stand-in reports for each request. */
const TOKENS = 10;
/** Longer than the interval in which agent processes report usage. */
const REPORTED_MS = 7000;

let scene: Scene;
let openai: OpenAiStandIn;
let deepgram: DeepgramStandIn;
const visitors: Visitor[] = [];

beforeAll(async () => {
  [openai, deepgram] = await Promise.all([startOpenAiStandIn(), startDeepgramStandIn()]);
  deepgram.understand(QUESTION);
  openai.answerWith(answerTo);
  scene = await openScene({
    agents: ["with-tool"],
    calls: 2,
    env: {
      // All agents run in one process, where a bug could mix up their usage.
      GREENROOM_MIN_PROCESSES_PER_PROFILE: "1",
      KPI_ROLLUP_INTERVAL_MS: "500",
      OPENAI_API_KEY: "a-key",
      OPENAI_BASE_URL: openai.url,
      DEEPGRAM_API_KEY: "a-key",
      DEEPGRAM_BASE_URL: deepgram.url,
    },
  });
});
afterEach(async () => {
  for (const visitor of visitors.splice(0)) await visitor.leave();
  await expectNothingLeft(scene);
});
afterAll(async () => {
  await scene?.stop();
  await Promise.all([openai?.close(), deepgram?.close()]);
});

function answerTo(messages: readonly ChatMessage[]) {
  const last = messages.at(-1);
  if (last?.role === "tool") return `I looked it up: ${JSON.parse(String(last.content))}.`;
  const question = lastOf(messages, "user");
  if (question === undefined) return GREETING;
  return question === QUESTION
    ? { tool: "lookUpOrder", arguments: { order: "seven" } }
    : `About ${question}: that is so.`;
}

interface Talk {
  readonly id: string;
  readonly visitor: Visitor;
}

async function begin(): Promise<Talk> {
  await scene.pool("with-tool", { idle: 2 });
  const answer = await scene.start({ profile: "with-tool", userName: "=cmd()" });
  const visitor = await visit(answer);
  visitors.push(visitor);
  await until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent" });
  const talk = { id: answer.sessionId, visitor };
  await hasSaid(talk, GREETING);
  return talk;
}

/** Waits until the agent has said the whole text. */
async function hasSaid({ id }: Talk, text: string): Promise<void> {
  await until(
    async () => {
      const entry = await scene.bus.kv.get(
        conversations,
        sessionKey({ tenant: DEFAULT_TENANT, sessionId: id }),
      );
      return JSON.stringify(entry?.value.items ?? []).includes(text);
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 100,
      what: () => `"${text}" is said; last request: ${JSON.stringify(openai.chats.at(-1)?.messages)}`,
    },
  );
}

async function callRecordOf({ id }: Talk): Promise<Json> {
  await scene.stack.post(`/api/session/${id}/end`);
  return until(
    async () => {
      const { status, body } = await scene.stack.get(`/api/calls/${id}`);
      return status === 200 ? body : undefined;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 200, what: `the call ${id} is recorded` },
  );
}

/** Runs `npm run kpis`, which rebuilds figures from their calls or compares them. */
async function expectKpis(args: readonly string[], code: number, pattern: RegExp): Promise<void> {
  const run = fork(compiledFile("cli/kpis.ts"), args, {
    execArgv: [],
    env: { ...process.env, NATS_URL: scene.stack.natsUrl },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let output = "";
  for (const stream of [run.stdout, run.stderr]) stream?.on("data", (text) => (output += text));
  const exitCode = await new Promise((resolve) => run.once("close", resolve));
  expect(output).toMatch(pattern);
  expect(exitCode).toBe(code);
}

const usageOf = (call: Json, kind: string): Json => call.metrics.usage.find((one: Json) => one.kind === kind);

describe("a call record", () => {
  test(
    "contains the usage of its own models and tools, although two calls share a process",
    async () => {
      const [asking, writing] = [await begin(), await begin()];
      await asking.visitor.say(await synthesize("Where is order seven?", 48_000));
      await hasSaid(asking, "I looked it up: order seven is on its way.");
      await writing.visitor.write("the weather");
      await hasSaid(writing, "About the weather: that is so.");
      const toolCall = await callRecordOf(asking);
      const textCall = await callRecordOf(writing);

      expect(toolCall).toMatchObject({
        profile: "with-tool",
        provider: "pool",
        outcome: "completed",
        endedReason: "completed",
        answered: true,
        warm: "warm",
        failovers: 0,
        attempts: [{ attempt: 1, host: "host-1", warm: "warm" }],
        metrics: {
          toolCalls: 1,
          toolErrors: 0,
          tools: [{ name: "lookUpOrder", calls: 1, errors: 0 }],
          userTurns: 1,
        },
      });
      expect(toolCall.attempts[0].readyMs).toBeGreaterThan(0);
      expect(toolCall.startMs).toBeGreaterThanOrEqual(toolCall.attempts[0].readyMs);
      expect(toolCall.metrics.durationMs).toBeGreaterThan(1000);
      expect(toolCall.metrics.toolExecutionMs).toBeGreaterThanOrEqual(190);
      for (const latency of ["llm", "tts", "stt", "endOfTurn", "response"])
        expect(toolCall.metrics[latency], latency).toMatchObject({ count: expect.any(Number) });
      // One request each for the greeting, the question and the answer with the tool's result.
      expect(toolCall.metrics.llm.count).toBe(3);
      expect(toolCall.metrics.response.p50Ms).toBeGreaterThan(0);
      expect(usageOf(toolCall, "llm")).toMatchObject({
        model: "gpt-4.1-mini",
        inputTokens: 3 * TOKENS,
        requests: 3,
      });
      // Deepgram's plugin reports usage for every full five seconds of audio.
      expect(usageOf(toolCall, "stt").audioMs).toBeGreaterThan(0);
      expect(usageOf(toolCall, "tts").characters).toBeGreaterThan(50);

      expect(textCall.metrics).toMatchObject({ toolCalls: 0, tools: [], userTurns: 1, agentTurns: 2 });
      expect(textCall.metrics.llm.count).toBe(2);
      expect(usageOf(textCall, "llm")).toMatchObject({ inputTokens: 2 * TOKENS, requests: 2 });
    },
    TALK_MS,
  );

  test(
    "contains the usage of both agents after a failover, and the day's key figures count all calls",
    async () => {
      const talk = await begin();
      await talk.visitor.write("the first thing");
      await hasSaid(talk, "About the first thing: that is so.");
      await new Promise((resolve) => setTimeout(resolve, REPORTED_MS));
      process.kill((await scene.slotOf(talk.id))?.agentProcess.pid, "SIGKILL");
      await scene.sessionWhen(
        talk.id,
        ({ state, attempt }) => state === "ready" && attempt > 1,
        "is ready in its next attempt",
      );
      await until(() => openai.speeches.some(({ input }) => input === MESSAGE), {
        timeoutMs: PATIENCE_MS,
        what: "the next agent starts to speak",
      });
      await talk.visitor.write("the second thing");
      await hasSaid(talk, "About the second thing: that is so.");
      const call = await callRecordOf(talk);
      expect(call).toMatchObject({
        outcome: "completed",
        failovers: 1,
        failoverReason: expect.stringContaining("the agent process ended"),
        failures: 1,
        metrics: { userTurns: 2 },
      });
      expect(call.attempts[0]).toMatchObject({ attempt: 1, warm: "warm", ended: call.failoverReason });
      expect(call.attempts.at(-1)).toMatchObject({ host: "host-1", readyMs: expect.any(Number) });
      expect(call.metrics.llm.count).toBeGreaterThanOrEqual(3);

      const { total } = await until(
        async () => {
          const { body } = await scene.stack.get("/api/kpis");
          return body.total.calls === 3 ? body : undefined;
        },
        { timeoutMs: PATIENCE_MS, everyMs: 200, what: "the key figures count all three calls" },
      );
      expect(total).toMatchObject({
        answered: 3,
        completed: 3,
        successRate: 1,
        failovers: 1,
        callsWithFailover: 1,
        toolCalls: 1,
        startMs: { count: 3 },
        durationMs: { count: 3 },
        reasons: { completed: 3 },
      });
      await expectKpis(["--check"], 0, /^\d{8}: the figures agree with their calls$/m);

      const { body: csv } = await scene.stack.get("/api/calls/export?format=csv");
      const lines = csv.trim().split("\r\n");
      expect(lines).toHaveLength(4);
      for (const line of lines.slice(1)) expect(line).toContain(`"'=cmd()"`);
      const { body: listed } = await scene.stack.get("/api/calls");
      expect(listed.calls[0].sessionId).toBe(talk.id);
      expect(listed.calls).toHaveLength(3);
    },
    TALK_MS,
  );
});
