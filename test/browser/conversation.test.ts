// A person in a browser talks to `assistant`, which uses the real OpenAI and Deepgram plugins.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DeepgramStandIn, startDeepgramStandIn } from "../kit/fakes/deepgram.ts";
import { lastOf, type OpenAiStandIn, startOpenAiStandIn } from "../kit/fakes/openai.ts";
import { synthesize } from "../kit/fixtures/speech.ts";
import { type Stack, startStack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";
import { endOf, PATIENCE_MS, poolIs, roomIsGone, roomNames, slotIds, slotOf } from "./look.ts";
import { Person } from "./person.ts";

const GREETING = "Hello, this is Greenroom speaking.";
const SPOKEN = "What is the weather today?";
/** Appears in the answer, which proves that the model got this question. */
const UNDERSTOOD = "what is the weather today";
const ANSWER = `You asked me ${UNDERSTOOD}, and I say that it will be sunny and warm.`;
const POOL = { idle: 3, hot: 1 };

let openai: OpenAiStandIn;
let deepgram: DeepgramStandIn;
let stack: Stack;

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
});
afterAll(async () => {
  await stack?.stop();
  await Promise.all([openai?.close(), deepgram?.close()]);
});

describe("voice page with the assistant", () => {
  test("plays the spoken answer to a spoken question", async () => {
    deepgram.understand(UNDERSTOOD);
    openai.answerWith((messages) => {
      const question = lastOf(messages, "user");
      return question === undefined
        ? GREETING
        : `You asked me ${question}, and I say that it will be sunny and warm.`;
    });
    // The microphone repeats the question: on a slow machine, the first time may come before the agent.
    const person = await Person.arrive(stack, { speech: { text: SPOKEN, before: 8, after: 8 } });
    try {
      await person.choose("assistant");
      await poolIs(stack, "assistant", POOL);
      const sessionId = await person.talk();
      const [slot, session] = await Promise.all([
        slotOf(stack, sessionId),
        stack.get(`/api/session/${sessionId}`).then(({ body }) => body),
      ]);
      expect(session).toMatchObject({ state: "ready", profile: "assistant", prewarmed: true, attempt: 1 });
      expect(await person.states()).toEqual(["requested", "dispatched", "joined", "ready"]);
      expect(await roomNames(stack)).toContain(session.room);
      expect(await slotIds(stack)).toContain(slot);

      const greeted = await untilSpoken(GREETING);
      await person.hears(greeted.speech, greeted.at);

      const [heard] = await until(() => deepgram.heard.length > 0 && deepgram.heard, {
        timeoutMs: PATIENCE_MS,
        what: "the recognizer receives the person's speech",
      });
      const spoken = await synthesize(SPOKEN, 48_000);
      const spokenMs = (spoken.audio.length / spoken.sampleRate) * 1000;
      expect(heard?.durationMs).toBeGreaterThan(0.6 * spokenMs);
      expect(heard?.durationMs).toBeLessThan(1.5 * spokenMs);
      expect(heard?.peak).toBeGreaterThan(0.03);

      const answered = await untilSpoken(ANSWER);
      const answerStartedAt = await person.hears(answered.speech, heard!.at);
      expect(answerStartedAt).toBeGreaterThan(heard!.at);
      expect(await person.tonesHz()).toEqual([greeted.speech.toneHz, answered.speech.toneHz]);

      const chat = openai.chats.find(({ messages }) => lastOf(messages, "user") !== undefined);
      expect(lastOf(chat!.messages, "user")).toBe(UNDERSTOOD);
      expect(lastOf(chat!.messages, "assistant")).toBe(GREETING);
      expect(lastOf(chat!.messages, "system")).toContain("voice assistant");
      await until(async () => (await person.transcript()).includes(`agent: ${ANSWER}`), {
        timeoutMs: PATIENCE_MS,
        everyMs: 100,
        what: "the page shows the answer",
      });
      expect((await person.transcript()).slice(0, 3)).toEqual([
        `agent: ${GREETING}`,
        `you: ${UNDERSTOOD}`,
        `agent: ${ANSWER}`,
      ]);

      const ended = await person.stop(sessionId);
      expect(ended).toMatchObject({ endedReason: "completed", fault: "none" });
      expect(await person.states()).toEqual(["requested", "dispatched", "joined", "ready", "ended"]);
      await roomIsGone(stack, session.room);
      await poolIs(stack, "assistant", POOL);
      expect(slot).toBeDefined();
      await until(async () => !(await slotIds(stack)).includes(slot ?? ""), {
        timeoutMs: PATIENCE_MS,
        what: "the slot of the session is gone",
      });
      expect(person.browser.complaints).toEqual([]);
    } finally {
      await person.leave();
    }
  });

  test("shows what to do when the browser denies the microphone, without starting a session", async () => {
    const person = await Person.arrive(stack, { microphone: "refused" });
    try {
      await person.choose("assistant");
      const before = (await stack.get("/api/sessions")).body.sessions.length;
      await person.browser.page.click("#talk");
      await person.sees(
        "#error",
        "Microphone access was denied. Allow it in the browser's address bar, then press Talk.",
      );
      expect(await person.browser.page.locator("#talk").isEnabled()).toBe(true);
      expect((await stack.get("/api/sessions")).body.sessions).toHaveLength(before);
    } finally {
      await person.leave();
    }
  });

  test("ends the session when the page is closed", async () => {
    const person = await Person.arrive(stack);
    try {
      await person.choose("assistant");
      const sessionId = await person.talk();
      await person.browser.page.close();
      const { room, endedReason } = await endOf(stack, sessionId);
      expect(endedReason).toBe("completed");
      await roomIsGone(stack, room);
    } finally {
      await person.leave();
    }
  });
});

const untilSpoken = (input: string) =>
  until(() => openai.speeches.find((speech) => speech.input === input), {
    timeoutMs: PATIENCE_MS,
    what: () =>
      `"${input}" is spoken; the spoken inputs are ${JSON.stringify(openai.speeches.map((one) => one.input))}`,
  });
