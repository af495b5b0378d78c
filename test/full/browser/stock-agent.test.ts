// Agent files in the form of LiveKit's own examples, in a user's folder without packages.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PATIENCE_MS, poolIs } from "../../browser/look.ts";
import { Person } from "../../browser/person.ts";
import { type DeepgramStandIn, startDeepgramStandIn } from "../../kit/fakes/deepgram.ts";
import { lastOf, type OpenAiStandIn, startOpenAiStandIn } from "../../kit/fakes/openai.ts";
import { type Stack, startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const UNDERSTOOD = "tell me about the green room";
const ANSWER = "Actors wait in the green room until they are called.";

let agents: string;
let openai: OpenAiStandIn;
let deepgram: DeepgramStandIn;
let stack: Stack;

beforeAll(async () => {
  agents = await mkdtemp(join(tmpdir(), "agents-of-a-user-"));
  await cp(fileURLToPath(new URL("../../agents/stock", import.meta.url)), agents, { recursive: true });
  // The same file as .js without a package.json, which Node treats as CommonJS.
  await cp(join(agents, "plain.mjs"), join(agents, "untyped.js"));
  [openai, deepgram] = await Promise.all([startOpenAiStandIn(), startDeepgramStandIn()]);
  deepgram.understand(UNDERSTOOD);
  openai.answerWith((messages) => (lastOf(messages, "user") === undefined ? "Hello there." : ANSWER));
  stack = await startStack({
    agentsDir: agents,
    env: {
      GREENROOM_POOL_MIN: "1",
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
  await rm(agents, { recursive: true, force: true });
});

describe("stock agent file", () => {
  test("holds a conversation, even with cli.runApp at the end", async () => {
    const person = await Person.arrive(stack, {
      speech: { text: "Tell me about the green room.", before: 8, after: 8 },
    });
    try {
      await person.choose("stock-agent");
      await poolIs(stack, "stock-agent", { idle: 1, hot: 1 });
      const sessionId = await person.talk();
      const answered = await until(() => openai.speeches.find(({ input }) => input === ANSWER), {
        timeoutMs: PATIENCE_MS,
        what: () =>
          `the agent answers; the host's log ends with ${stack.child("agent-host-1").text().slice(-3000)}`,
      });
      expect(answered.voice).toBe("ash");
      await person.hears(answered.speech, answered.at);
      await person.stop(sessionId);
    } finally {
      await person.leave();
    }
  });

  test.each(["plain", "untyped", "common"])("serves a session in JavaScript: %s", async (profile) => {
    await poolIs(stack, profile, { idle: 1, hot: 1 });
    const { status, body } = await stack.post("/api/session/start", { profile, wait: 30_000 });
    expect({ status, body }).toMatchObject({ status: 200, body: { status: "ready", prewarmed: true } });
    const logged = await until(
      async () => {
        const { lines } = (await stack.get(`/api/session/${body.sessionId}/logs`)).body;
        return lines?.find(({ message }: { message: string }) => message.includes("serves"));
      },
      { timeoutMs: PATIENCE_MS, everyMs: 100, what: "the session's logs contain the agent's own line" },
    );
    expect(logged.message).toContain(body.room);
    await stack.post(`/api/session/${body.sessionId}/end`);
  });

  test("is disabled if a package is missing, and health shows what to install", async () => {
    const profile = await until(
      async () => {
        const { lacking } = (await stack.get("/api/health")).body.profiles ?? {};
        return lacking?.status === "disabled" ? lacking : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: "health shows the profile as disabled" },
    );
    expect(profile.error).toContain("a-package-that-nobody-has is missing; install it with npm");
  });
});
