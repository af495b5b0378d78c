// Start of a resumed conversation: its history, the held-back greeting, and the failover message.
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

const HISTORY = [
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

function conversationOf(history: llm.ChatItem[], keep = true) {
  const sent: Extract<ProcessToHost, { type: "conversation" }>[] = [];
  const conversation = new JobConversation({
    slot: "slot",
    resumes:
      history.length === 0
        ? undefined
        : { attempt: 1, omitted: 3, items: itemsOf(new llm.ChatContext(history)) },
    keep,
    send: (event) => {
      if (event.type === "conversation") sent.push(event);
    },
  });
  return { conversation, sent };
}

describe("JobConversation", () => {
  const lookup = llm.tool({ name: "lookup", description: "Looks up.", execute: async () => "found" });
  const newSession = (tools: llm.ToolContextLike = []) =>
    new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null }, tools });
  const idsIn = (context: llm.ChatContext) => context.items.map(({ id }) => id);

  test("inserts the restored history after the file's own items, and before everything in the session", () => {
    const { conversation } = conversationOf(HISTORY);
    const own = new llm.ChatContext([message("system", "The caller's name is Ada.", Date.now())]);
    const agent = new voice.Agent({ instructions: "Be kind.", chatCtx: own });
    const session = newSession([lookup]);
    conversation.restoreInto(session, agent);
    const talk = HISTORY.slice(1).map(({ id }) => id);
    expect(idsIn(agent.chatCtx)).toEqual([...idsIn(own), ...talk]);
    expect(idsIn(session.history)).toEqual(HISTORY.map(({ id }) => id));
    expect(agent.instructions).toBe("Be kind.");
  });

  test("restores once, even if called twice", () => {
    const { conversation } = conversationOf(HISTORY);
    const agent = new voice.Agent({ instructions: "", tools: [lookup] });
    const session = newSession();
    conversation.restoreInto(session, agent);
    conversation.restoreInto(session, agent);
    expect(agent.chatCtx.items).toHaveLength(5);
    expect(session.history.items).toHaveLength(6);
  });

  test("omits calls of tools that the agent and the session lack, but keeps them in the history", () => {
    const { conversation } = conversationOf(HISTORY);
    const agent = new voice.Agent({ instructions: "" });
    const session = newSession();
    conversation.restoreInto(session, agent);
    expect(agent.chatCtx.items.map(({ type }) => type)).toEqual(["message", "message", "message"]);
    expect(session.history.items).toHaveLength(6);
  });

  test("sends the restored history with additions and with the number of omitted items", async () => {
    const { conversation, sent } = conversationOf(HISTORY);
    const session = newSession([lookup]);
    conversation.restoreInto(session, new voice.Agent({ instructions: "" }));
    conversation.follow(session);
    session._conversationItemAdded(message("user", "Thank you.", Date.now()));
    session._conversationItemAdded(message("assistant", "Not at all.", Date.now()));
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]?.items).toHaveLength(8);
    expect(sent[0]?.omitted).toBe(3);
  });

  test("sends nothing for a file that stores no conversation", async () => {
    const { conversation, sent } = conversationOf([], false);
    const session = newSession();
    conversation.follow(session);
    session._conversationItemAdded(message("user", "A secret.", Date.now()));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sent).toEqual([]);
  });

  test("sends nothing before somebody has spoken", async () => {
    const { conversation, sent } = conversationOf([]);
    const session = newSession();
    conversation.follow(session);
    session._conversationItemAdded(llm.AgentHandoffItem.create({ newAgentId: "receptionist" }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sent).toEqual([]);
    session._conversationItemAdded(message("assistant", "Hello.", Date.now()));
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]?.items).toHaveLength(2);
  });

  test("returns a copy of the history to the file, with the last active agent", () => {
    const { conversation } = conversationOf(HISTORY);
    const resumption = conversation.resumption();
    expect(resumption).toMatchObject({ attempt: 1, omitted: 3, agentId: "receptionist" });
    resumption?.chatCtx.items.splice(0);
    expect(conversation.resumption()?.chatCtx.items).toHaveLength(5);
    expect(conversationOf([]).conversation.resumption()).toBeUndefined();
    expect(conversationOf(HISTORY.slice(0, 1)).conversation.resumption()).toBeUndefined();
  });
});

function greetingScene(options: { history?: llm.ChatItem[]; failoverMessage?: string; tts?: boolean } = {}) {
  const { history = HISTORY, failoverMessage = "Sorry.", tts = true } = options;
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
  const greeting = new ResumeGreeting(conversationOf(history).conversation, failoverMessage, (error) => {
    throw error;
  });
  const bridge = () => greeting.bridge(session, originals);
  const userSays = () =>
    (session as unknown as EventEmitter).emit(voice.AgentSessionEventTypes.ConversationItemAdded, {
      item: message("user", "Hello?", Date.now()),
    });
  const started = () => greeting.started(session, originals);
  return { greeting, session, spoken, bridge, started, userSays };
}

describe("ResumeGreeting", () => {
  test("holds back the file's greeting, and speaks the failover message once instead", () => {
    const { greeting, session, spoken, bridge, started } = greetingScene();
    expect(inEntry(() => greeting.replacesSpeech())).toBe(false); // No session has started yet.
    greeting.begin(session);
    expect(inEntry(() => greeting.replacesSpeech())).toBe(true);
    const handle = bridge();
    started();
    expect(bridge()).toBe(handle);
    expect(spoken).toEqual(["say Sorry."]);
  });

  test("holds back greetings after awaits in entry, but nothing from other events", async () => {
    const { greeting, session } = greetingScene();
    greeting.begin(session);
    const late = inEntry(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return greeting.replacesSpeech();
    });
    expect(greeting.replacesSpeech()).toBe(false);
    expect(await late).toBe(true);
  });

  test("lets greetings through after the user has spoken, and after ten seconds", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    vi.advanceTimersByTime(1000);
    const first = greetingScene();
    first.greeting.begin(first.session);
    first.userSays();
    expect(inEntry(() => first.greeting.replacesSpeech())).toBe(false);
    const second = greetingScene();
    second.greeting.begin(second.session);
    vi.advanceTimersByTime(9999);
    expect(inEntry(() => second.greeting.replacesSpeech())).toBe(true);
    vi.advanceTimersByTime(1);
    expect(inEntry(() => second.greeting.replacesSpeech())).toBe(false);
  });

  test("lets greetings through in a new conversation, even one with an agent handoff", () => {
    for (const history of [[], HISTORY.slice(0, 1)]) {
      const { greeting, session, spoken, started } = greetingScene({ history });
      greeting.begin(session);
      expect(inEntry(() => greeting.replacesSpeech())).toBe(false);
      started();
      expect(spoken).toEqual([]);
    }
  });

  test("lets greetings through when the file disables automatic greetings", () => {
    const { greeting, session, spoken, started } = greetingScene();
    greeting.leaveToFile();
    greeting.begin(session);
    expect(inEntry(() => greeting.replacesSpeech())).toBe(false);
    started();
    expect(spoken).toEqual([]);
  });
});

describe("ResumeGreeting, after a gap", () => {
  test("replies to the user's last message when it was not answered", () => {
    for (const history of [HISTORY.slice(0, 3), HISTORY.slice(0, 5)]) {
      const { greeting, session, spoken, started } = greetingScene({ history });
      greeting.begin(session);
      started();
      expect(spoken).toEqual(["say Sorry.", "reply"]);
    }
  });

  test("stays silent without a message or a voice, and resolves the speech handle", async () => {
    for (const options of [{ failoverMessage: "" }, { tts: false }]) {
      const { greeting, session, spoken, bridge } = greetingScene(options);
      greeting.begin(session);
      const handle = bridge();
      await handle.waitForPlayout();
      expect(handle.done()).toBe(true);
      expect(spoken).toEqual([]);
    }
  });
});
