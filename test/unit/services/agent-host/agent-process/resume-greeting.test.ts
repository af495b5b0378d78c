// How a resumed conversation opens: what is put into its session, what is held back, and what is said instead.
import { EventEmitter } from "node:events";
import { initializeLogger, llm, voice } from "@livekit/agents";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { itemsOf } from "../../../../../services/agent-host/agent-process/chat-items.ts";
import { JobConversation } from "../../../../../services/agent-host/agent-process/conversation.ts";
import { inEntry, ResumeGreeting } from "../../../../../services/agent-host/agent-process/resume-greeting.ts";
import type { ProcessToHost } from "../../../../../services/agent-host/pool/messages.ts";

beforeAll(() => initializeLogger({ pretty: false, level: "silent" }));
afterEach(() => {
  vi.useRealTimers();
});

const message = (role: llm.ChatRole, content: string, createdAt: number) =>
  llm.ChatMessage.create({ role, content, createdAt, id: `${role}-${createdAt}` });

const SAID = [
  llm.AgentHandoffItem.create({ newAgentId: "receptionist", createdAt: 1 }),
  message("assistant", "Hello.", 2),
  message("user", "Find it.", 3),
  llm.FunctionCall.create({ callId: "a", name: "lookup", args: "{}", createdAt: 4 }),
  llm.FunctionCallOutput.create({
    callId: "a",
    name: "lookup",
    output: "found",
    isError: false,
    createdAt: 5,
  }),
  message("assistant", "I found it.", 6),
];

function conversationOf(said: llm.ChatItem[], keep = true) {
  const told: Extract<ProcessToHost, { type: "conversation" }>[] = [];
  const conversation = new JobConversation({
    slot: "slot",
    resumes:
      said.length === 0 ? undefined : { attempt: 1, omitted: 3, items: itemsOf(new llm.ChatContext(said)) },
    keep,
    send: (news) => {
      if (news.type === "conversation") told.push(news);
    },
  });
  return { conversation, told };
}

describe("a former conversation", () => {
  const lookup = llm.tool({ name: "lookup", description: "Looks up.", execute: async () => "found" });
  const newSession = (tools: llm.ToolContextLike = []) =>
    new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null }, tools });
  const idsIn = (context: llm.ChatContext) => context.items.map(({ id }) => id);

  test("stands behind what the file gave its agent, and before all else in the session's history", () => {
    const { conversation } = conversationOf(SAID);
    const own = new llm.ChatContext([message("system", "The caller's name is Ada.", Date.now())]);
    const agent = new voice.Agent({ instructions: "Be kind.", chatCtx: own });
    const session = newSession([lookup]);
    conversation.restoreInto(session, agent);
    const talk = SAID.slice(1).map(({ id }) => id);
    expect(idsIn(agent.chatCtx)).toEqual([...idsIn(own), ...talk]);
    expect(idsIn(session.history)).toEqual(SAID.map(({ id }) => id));
    expect(agent.instructions).toBe("Be kind.");
  });

  test("is there once, however often it is put there", () => {
    const { conversation } = conversationOf(SAID);
    const agent = new voice.Agent({ instructions: "", tools: [lookup] });
    const session = newSession();
    conversation.restoreInto(session, agent);
    conversation.restoreInto(session, agent);
    expect(agent.chatCtx.items).toHaveLength(5);
    expect(session.history.items).toHaveLength(6);
  });

  test("has no calls of tools that neither the agent nor the session has, but the history has", () => {
    const { conversation } = conversationOf(SAID);
    const agent = new voice.Agent({ instructions: "" });
    const session = newSession();
    conversation.restoreInto(session, agent);
    expect(agent.chatCtx.items.map(({ type }) => type)).toEqual(["message", "message", "message"]);
    expect(session.history.items).toHaveLength(6);
  });

  test("is told to the host together with what is added to it, with what was left out before", async () => {
    const { conversation, told } = conversationOf(SAID);
    const session = newSession([lookup]);
    conversation.restoreInto(session, new voice.Agent({ instructions: "" }));
    conversation.follow(session);
    session._conversationItemAdded(message("user", "Thank you.", Date.now()));
    session._conversationItemAdded(message("assistant", "Not at all.", Date.now()));
    await vi.waitFor(() => expect(told).toHaveLength(1));
    expect(told[0]?.items).toHaveLength(8);
    expect(told[0]?.omitted).toBe(3);
  });

  test("is told to nobody by a file that keeps nothing", async () => {
    const { conversation, told } = conversationOf([], false);
    const session = newSession();
    conversation.follow(session);
    session._conversationItemAdded(message("user", "A secret.", Date.now()));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(told).toEqual([]);
  });

  test("is told to nobody before somebody has spoken", async () => {
    const { conversation, told } = conversationOf([]);
    const session = newSession();
    conversation.follow(session);
    session._conversationItemAdded(llm.AgentHandoffItem.create({ newAgentId: "receptionist" }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(told).toEqual([]);
    session._conversationItemAdded(message("assistant", "Hello.", Date.now()));
    await vi.waitFor(() => expect(told).toHaveLength(1));
    expect(told[0]?.items).toHaveLength(2);
  });

  test("is shown to the file that asks, as a copy, with the agent that talked last", () => {
    const { conversation } = conversationOf(SAID);
    const resumption = conversation.resumption();
    expect(resumption).toMatchObject({ attempt: 1, omitted: 3, agentId: "receptionist" });
    resumption?.chatCtx.items.splice(0);
    expect(conversation.resumption()?.chatCtx.items).toHaveLength(5);
    expect(conversationOf([]).conversation.resumption()).toBeUndefined();
    expect(conversationOf(SAID.slice(0, 1)).conversation.resumption()).toBeUndefined();
  });
});

function openingScene(options: { said?: llm.ChatItem[]; sentence?: string; tts?: boolean } = {}) {
  const { said = SAID, sentence = "Sorry.", tts = true } = options;
  const spoken: string[] = [];
  const originals = {
    say: (text: unknown) => {
      spoken.push(`say ${text}`);
      return voice.SpeechHandle.create();
    },
    generateReply: () => {
      spoken.push("reply");
      return voice.SpeechHandle.create();
    },
  };
  const session = Object.assign(new EventEmitter(), {
    currentAgent: {},
    llm: {},
    ...(tts ? { tts: {} } : {}),
    output: { audio: {}, audioEnabled: true },
  }) as unknown as voice.AgentSession;
  const opening = new ResumeGreeting(conversationOf(said).conversation, sentence, (error) => {
    throw error;
  });
  const bridge = () => opening.bridge(session, originals);
  const userSays = () =>
    (session as unknown as EventEmitter).emit(voice.AgentSessionEventTypes.ConversationItemAdded, {
      item: message("user", "Hello?", Date.now()),
    });
  const started = () => opening.started(session, originals);
  return { opening, session, spoken, bridge, started, userSays };
}

describe("the file's greeting", () => {
  test("is held back, and the sentence is said once in its place", () => {
    const { opening, session, spoken, bridge, started } = openingScene();
    expect(inEntry(() => opening.holdsBack())).toBe(false); // No session has started yet.
    opening.begin(session);
    expect(inEntry(() => opening.holdsBack())).toBe(true);
    const inItsPlace = bridge();
    started();
    expect(bridge()).toBe(inItsPlace);
    expect(spoken).toEqual(["say Sorry."]);
  });

  test("is held back also behind what entry waits for, but not what another event brings", async () => {
    const { opening, session } = openingScene();
    opening.begin(session);
    const late = inEntry(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return opening.holdsBack();
    });
    expect(opening.holdsBack()).toBe(false);
    expect(await late).toBe(true);
  });

  test("is let through when the user has spoken, and after ten seconds", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    vi.advanceTimersByTime(1000);
    const first = openingScene();
    first.opening.begin(first.session);
    first.userSays();
    expect(inEntry(() => first.opening.holdsBack())).toBe(false);
    const second = openingScene();
    second.opening.begin(second.session);
    vi.advanceTimersByTime(9999);
    expect(inEntry(() => second.opening.holdsBack())).toBe(true);
    vi.advanceTimersByTime(1);
    expect(inEntry(() => second.opening.holdsBack())).toBe(false);
  });

  test("is let through in a conversation that begins, also when only an agent was set in it", () => {
    for (const said of [[], SAID.slice(0, 1)]) {
      const { opening, session, spoken, started } = openingScene({ said });
      opening.begin(session);
      expect(inEntry(() => opening.holdsBack())).toBe(false);
      started();
      expect(spoken).toEqual([]);
    }
  });

  test("is let through when the file says that it greets by itself", () => {
    const { opening, session, spoken, started } = openingScene();
    opening.leaveToFile();
    opening.begin(session);
    expect(inEntry(() => opening.holdsBack())).toBe(false);
    started();
    expect(spoken).toEqual([]);
  });
});

describe("the gap", () => {
  test("is followed by the answer to what the user asked last, when nobody answered", () => {
    for (const said of [SAID.slice(0, 3), SAID.slice(0, 5)]) {
      const { opening, session, spoken, started } = openingScene({ said });
      opening.begin(session);
      started();
      expect(spoken).toEqual(["say Sorry.", "reply"]);
    }
  });

  test("is passed over in silence without a sentence or a voice, and whoever waits for it goes on", async () => {
    for (const options of [{ sentence: "" }, { tts: false }]) {
      const { opening, session, spoken, bridge } = openingScene(options);
      opening.begin(session);
      const handle = bridge();
      await handle.waitForPlayout();
      expect(handle.done()).toBe(true);
      expect(spoken).toEqual([]);
    }
  });
});
