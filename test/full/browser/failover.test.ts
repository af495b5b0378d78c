// A person in a browser keeps talking to `assistant` when its agent process is killed with -9.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bus } from "../../../libs/bus/bus.ts";
import { agentProcessPidOf, PATIENCE_MS, poolIs, roomIsGone } from "../../browser/look.ts";
import { Person } from "../../browser/person.ts";
import { type DeepgramStandIn, startDeepgramStandIn } from "../../kit/fakes/deepgram.ts";
import { lastOf, type OpenAiStandIn, startOpenAiStandIn, textOf } from "../../kit/fakes/openai.ts";
import { busOf, conversationEndsWith } from "../../kit/stack/scene.ts";
import { type Json, type Stack, startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const GREETING = "Hello, this is Greenroom speaking.";
const FAILOVER_MESSAGE = "Sorry, I was cut off for a moment.";
/** The person's microphone repeats this; the recognizer's transcript of it changes. */
const SPOKEN = "What is the weather today?";
const QUESTIONS = ["what is the weather today", "how will it be tomorrow"] as const;
const ANSWERS = [
  "Today will be sunny and warm, with a light wind from the west.",
  "Tomorrow there may be rain in the evening, so take an umbrella with you.",
] as const;

let openai: OpenAiStandIn;
let deepgram: DeepgramStandIn;
let stack: Stack;
let bus: Bus;

beforeAll(async () => {
  [openai, deepgram] = await Promise.all([startOpenAiStandIn(), startDeepgramStandIn()]);
  stack = await startStack({
    env: {
      OPENAI_API_KEY: "a-key",
      OPENAI_BASE_URL: openai.url,
      DEEPGRAM_API_KEY: "a-key",
      DEEPGRAM_BASE_URL: deepgram.url,
    },
  });
  bus = await busOf(stack);
});
afterAll(async () => {
  await bus?.close();
  await stack?.stop();
  await Promise.all([openai?.close(), deepgram?.close()]);
});

/** The person speaks every 20 s. */
const TEST_MS = 300_000;
const SPEECH_TIMEOUT_MS = 120_000;

describe("voice page with a killed agent process", () => {
  test(
    "keeps the person in the room with a new agent that knows the conversation",
    async () => {
      deepgram.understand(QUESTIONS[0]);
      openai.answerWith((messages) => {
        const index = QUESTIONS.indexOf(lastOf(messages, "user") as (typeof QUESTIONS)[number]);
        return ANSWERS[index] ?? GREETING;
      });
      const person = await Person.arrive(stack, { speech: { text: SPOKEN, before: 10, after: 10 } });
      try {
        await person.choose("assistant");
        await poolIs(stack, "assistant", { idle: 3, hot: 1 });
        const sessionId = await person.talk();
        const before = await session(sessionId);
        const first = await untilSpoken(ANSWERS[0]);
        await person.hears(first.speech, first.at);
        await until(async () => (await person.transcript()).includes(`agent: ${ANSWERS[0]}`), {
          timeoutMs: PATIENCE_MS,
          everyMs: 100,
          what: "the page shows the answer",
        });

        // An answer that is not stored is given again.
        await conversationEndsWith(bus, sessionId, ANSWERS[0]);
        deepgram.understand(QUESTIONS[1]);
        const killedAt = Date.now();
        process.kill(await agentProcessPidOf(stack, sessionId), "SIGKILL");

        const failoverMessage = await untilSpoken(FAILOVER_MESSAGE);
        await person.hears(failoverMessage.speech, killedAt);
        await person.sees("#state", "ready");
        await person.sees("#note", "Another agent has taken over. Please continue.");
        const second = await untilSpoken(ANSWERS[1]);
        await person.hears(second.speech, killedAt);

        const chat = openai.chats.find(({ messages }) => lastOf(messages, "user") === QUESTIONS[1]);
        const turns = chat?.messages.filter(({ role }) => role !== "system");
        // On a slow machine, the microphone may repeat the first question.
        expect([...new Set(turns?.map(({ role, content }) => `${role}: ${textOf(content)}`))]).toEqual([
          `assistant: ${GREETING}`,
          `user: ${QUESTIONS[0]}`,
          `assistant: ${ANSWERS[0]}`,
          `user: ${QUESTIONS[1]}`,
        ]);
        expect(openai.speeches.filter(({ input }) => input === GREETING)).toHaveLength(1);
        const after = await session(sessionId);
        expect(after).toMatchObject({ state: "ready", attempt: 2, room: before.room, failures: 1 });
        expect((await person.states()).filter((state) => state === "ended")).toEqual([]);

        const ended = await person.stop(sessionId);
        expect(ended).toMatchObject({ endedReason: "completed", fault: "none" });
        await roomIsGone(stack, before.room);
        expect(person.browser.complaints).toEqual([]);
      } finally {
        await person.leave();
      }
    },
    TEST_MS,
  );
});

const session = async (id: string): Promise<Json> => (await stack.get(`/api/session/${id}`)).body;

const untilSpoken = (input: string) =>
  until(() => openai.speeches.find((speech) => speech.input === input), {
    timeoutMs: SPEECH_TIMEOUT_MS,
    what: () =>
      `"${input}" is spoken; the spoken inputs are ${JSON.stringify(openai.speeches.map((one) => one.input))}, ` +
      `the recognized speech is ${JSON.stringify(deepgram.heard)}\n${stack.child("agent-host-1").text().slice(-4000)}`,
  });
