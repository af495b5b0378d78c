// Failover of a conversation: after `kill -9` the next agent continues with the whole history.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { processIdentity } from "../../cli/supervisor/processes.ts";
import { conversations } from "../../libs/contracts/buckets.ts";
import { DEFAULT_TENANT, sessionKey } from "../../libs/contracts/ids.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { type DeepgramStandIn, startDeepgramStandIn } from "../kit/fakes/deepgram.ts";
import {
  type ChatRequest,
  lastOf,
  type OpenAiStandIn,
  startOpenAiStandIn,
  textOf,
} from "../kit/fakes/openai.ts";
import { conversationEndsWith, openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const GREETING = "Hello, what can I do for you?";
const MESSAGE = "Sorry, I was cut off for a moment.";
/** Speech plays in real time, so these tests take long. */
const TALK_MS = 240_000;

let scene: Scene;
let openai: OpenAiStandIn;
let deepgram: DeepgramStandIn;
let visitor: Visitor | undefined;

beforeAll(async () => {
  [openai, deepgram] = await Promise.all([startOpenAiStandIn(), startDeepgramStandIn()]);
  scene = await openScene({
    agents: ["stock/stock-agent", "forgetful", "resumer", "enters"],
    env: {
      GREENROOM_MAX_ATTEMPTS: "5",
      GREENROOM_POOL_MIN: "2",
      OPENAI_API_KEY: "a-key",
      OPENAI_BASE_URL: openai.url,
      DEEPGRAM_API_KEY: "a-key",
      DEEPGRAM_BASE_URL: deepgram.url,
    },
  });
});
afterEach(async () => {
  await visitor?.leave();
  visitor = undefined;
  openai.chats.length = 0;
  openai.speeches.length = 0;
  await expectNothingLeft(scene);
});
afterAll(async () => {
  await scene?.stop();
  await Promise.all([openai?.close(), deepgram?.close()]);
});

interface Talk {
  readonly id: string;
  readonly visitor: Visitor;
}

/** Starts a session of an agent that is warm in two processes, and joins its room. */
async function begin(profile: string): Promise<Talk> {
  openai.answerWith((messages) => {
    const question = lastOf(messages, "user");
    return question === undefined ? GREETING : `About ${question}: that is so.`;
  });
  await scene.pool(profile, { idle: 2 });
  const answer = await scene.start({ profile });
  const joined = await visit(answer);
  visitor = joined;
  // Text sent before the agent knows its sender is lost.
  await until(() => joined.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent" });
  return { id: answer.sessionId, visitor: joined };
}

const untilSpoken = (input: string, times = 1) =>
  until(() => openai.speeches.filter((speech) => speech.input === input).length >= times, {
    timeoutMs: PATIENCE_MS,
    what: () => `"${input}" is spoken; spoken: ${JSON.stringify(openai.speeches.map((one) => one.input))}`,
  });

const stored = async (id: string) =>
  (await scene.bus.kv.get(conversations, sessionKey({ tenant: DEFAULT_TENANT, sessionId: id })))?.value;

const untilStored = (id: string, text: string) => conversationEndsWith(scene.bus, id, text);

/** Asks a question, and waits until the whole answer is spoken and stored. */
async function ask({ id, visitor: person }: Talk, question: string): Promise<string> {
  await person.write(question);
  await untilStored(id, `About ${question}: that is so.`);
  return `About ${question}: that is so.`;
}

/** Kills the agent process, and waits until the next attempt is ready in another one. */
async function killAgent(id: string): Promise<void> {
  const before = await scene.session(id);
  const pid = (await scene.slotOf(id))?.agentProcess.pid;
  await scene.pool(before.profile, { idle: 2 });
  process.kill(pid, "SIGKILL");
  const after = await scene.sessionWhen(
    id,
    ({ state, attempt }) => state === "ready" && attempt === before.attempt + 1,
    "is ready in its next attempt",
  );
  expect(after).toMatchObject({ room: before.room, prewarmed: true });
}

/** The messages of a chat request as "role: text", without instructions. */
const messagesOf = (chat: ChatRequest | undefined): string[] =>
  (chat?.messages ?? [])
    .filter(({ role }) => role !== "system")
    .map(({ role, content }) => `${role}: ${textOf(content)}`);

describe("failover", () => {
  test(
    "restores the whole conversation of a stock agent that is killed twice",
    async () => {
      const talk = await begin("stock-agent");
      await untilStored(talk.id, GREETING);
      const first = await ask(talk, "the weather");
      await killAgent(talk.id);
      await untilSpoken(MESSAGE);
      const second = await ask(talk, "the traffic");
      await killAgent(talk.id);
      await untilSpoken(MESSAGE, 2);
      await ask(talk, "the time");

      const last = openai.chats.at(-1);
      expect(messagesOf(last)).toEqual([
        `assistant: ${GREETING}`,
        "user: the weather",
        `assistant: ${first}`,
        "user: the traffic",
        `assistant: ${second}`,
        "user: the time",
      ]);
      const instructions = last?.messages.filter(({ role }) => role === "system");
      expect(instructions?.map(({ content }) => textOf(content))).toEqual([
        "You are a helpful voice AI assistant.",
      ]);
      // Only the first agent greets. The later ones ask no model for a greeting, and say only the failover message.
      expect(openai.chats).toHaveLength(4);
      expect(openai.speeches.filter(({ input }) => input === GREETING)).toHaveLength(1);
      expect(talk.visitor.isOut()).toBe(false);

      expect(await stored(talk.id)).toMatchObject({ attempt: 3, omitted: 0 });
      await scene.end(talk.id);
      await until(async () => (await stored(talk.id)) === undefined, {
        timeoutMs: PATIENCE_MS,
        what: "the conversation is deleted after the session",
      });
    },
    TALK_MS,
  );

  test("lets the next agent answer a question whose answer was cut off", async () => {
    const talk = await begin("stock-agent");
    await untilStored(talk.id, GREETING);
    const long = "This is a long answer, and it goes on, and on. ".repeat(8).trim();
    openai.answerWith(() => long);
    await talk.visitor.write("the whole story");
    await untilStored(talk.id, "the whole story");
    await until(() => openai.speeches.some(({ input }) => long.startsWith(input)), {
      timeoutMs: PATIENCE_MS,
      what: "the answer has begun",
    });
    openai.answerWith(() => "In short: they lived happily.");
    await killAgent(talk.id);
    await untilStored(talk.id, "In short: they lived happily.");
    expect(messagesOf(openai.chats.at(-1))).toEqual([`assistant: ${GREETING}`, "user: the whole story"]);
    const spoken = openai.speeches.map(({ input }) => input);
    expect(spoken.indexOf(MESSAGE)).toBeGreaterThan(-1);
    expect(spoken.indexOf(MESSAGE)).toBeLessThan(spoken.indexOf("In short: they lived happily."));
    await scene.end(talk.id);
  });

  test("replaces an agent whose process is stopped, and kills that process", async () => {
    const talk = await begin("stock-agent");
    await untilStored(talk.id, GREETING);
    const before = await scene.session(talk.id);
    const pid = (await scene.slotOf(talk.id))?.agentProcess.pid as number;
    const life = processIdentity(pid);
    process.kill(pid, "SIGSTOP");
    const after = await scene.sessionWhen(
      talk.id,
      ({ state, attempt }) => state === "ready" && attempt === 2,
      "is ready in its second attempt",
    );
    expect(after.history.find(({ attempt }: { attempt: number }) => attempt === 2).reason).toContain("hung");
    await until(() => processIdentity(pid) !== life, {
      timeoutMs: PATIENCE_MS,
      what: "the stopped process is gone",
    });
    await until(
      async () => {
        const agents = (await scene.rooms.participants(before.room)).filter(({ isAgent }) => isAgent);
        return agents.length === 1 && agents[0]?.identity === `agent-${talk.id}-2`;
      },
      { timeoutMs: PATIENCE_MS, what: "only the second agent is in the room" },
    );
    const answer = await ask(talk, "the weather");
    expect(messagesOf(openai.chats.at(-1))).toEqual([`assistant: ${GREETING}`, "user: the weather"]);
    await talk.visitor.write("the traffic");
    await untilStored(talk.id, "About the traffic: that is so.");
    expect(messagesOf(openai.chats.at(-1))).toContain(`assistant: ${answer}`);
    await scene.end(talk.id);
  });

  test("stores nothing for a file without restoration, whose next agent starts from scratch", async () => {
    const talk = await begin("forgetful");
    await untilSpoken(GREETING);
    await talk.visitor.write("a secret");
    await untilSpoken("About a secret: that is so.");
    await killAgent(talk.id);
    await untilSpoken(GREETING, 2);
    expect(
      openai.chats
        .at(-1)
        ?.messages.map(({ content }) => textOf(content))
        .join(),
    ).not.toContain("secret");
    expect(
      await scene.bus.kv.history(conversations, sessionKey({ tenant: DEFAULT_TENANT, sessionId: talk.id })),
    ).toEqual([]);
    expect(openai.speeches.map(({ input }) => input)).not.toContain(MESSAGE);
    await scene.end(talk.id);
  });

  test("suppresses a greeting of onEnter too, and plays the message of the file", async () => {
    const talk = await begin("enters");
    await untilStored(talk.id, "Come in.");
    await ask(talk, "the weather");
    await killAgent(talk.id);
    await untilSpoken("There I am again.");
    await until(
      async () =>
        (await scene.logs(talk.id)).filter(({ message }) => message === "the opening was said").length === 2,
      { timeoutMs: PATIENCE_MS, what: "onEnter has waited for the failover message" },
    );
    await ask(talk, "the traffic");
    expect(openai.speeches.map(({ input }) => input)).not.toContain(MESSAGE);
    expect(openai.speeches.filter(({ input }) => input === "Come in.")).toHaveLength(1);
    expect(messagesOf(openai.chats.at(-1)).map((line) => line.split(":")[0])).toEqual([
      "assistant",
      "user",
      "assistant",
      "user",
    ]);
    await scene.end(talk.id);
  });

  test("gives a file its resumption, and lets it open the conversation itself", async () => {
    const talk = await begin("resumer");
    await untilStored(talk.id, "Welcome.");
    const answer = await ask(talk, "my name");
    await killAgent(talk.id);
    await untilSpoken("I remember that we said 3 things.");
    const line = await scene.logged(talk.id, "resumes");
    expect(JSON.parse(line.slice("resumes ".length))).toEqual({
      attempt: 1,
      omitted: 0,
      agentId: "receptionist",
      chatCtx: ["Welcome.", "my name", answer],
    });
    expect(openai.speeches.map(({ input }) => input)).not.toContain(MESSAGE);
    await ask(talk, "my address");
    expect(messagesOf(openai.chats.at(-1)).slice(0, 3)).toEqual([
      "assistant: Welcome.",
      "user: my name",
      `assistant: ${answer}`,
    ]);
    await scene.end(talk.id);
  });
});
