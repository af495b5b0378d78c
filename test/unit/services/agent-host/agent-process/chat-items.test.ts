// Stored parts of a conversation, their limit, and their way back into LiveKit's objects.
import { llm } from "@livekit/agents";
import { describe, expect, test } from "vitest";
import { ConversationRecord } from "../../../../../libs/contracts/sessions/conversation.ts";
import { trimConversation } from "../../../../../libs/domain/session/trim-conversation.ts";
import { itemsOf, revive } from "../../../../../services/agent-host/agent-process/chat-items.ts";

/** Passes items through JSON, like the way to the host, the store and back. */
const throughJson = (history: llm.ChatContext) =>
  JSON.parse(JSON.stringify(itemsOf(history))) as ReturnType<typeof itemsOf>;

const message = (role: llm.ChatRole, content: llm.ChatContent[] | string, createdAt: number) =>
  llm.ChatMessage.create({ role, content, createdAt, id: `${role}-${createdAt}` });

const call = (callId: string, createdAt: number) =>
  llm.FunctionCall.create({ callId, name: "lookup", args: `{"of":"${callId}"}`, createdAt });

const output = (callId: string, createdAt: number) =>
  llm.FunctionCallOutput.create({ callId, name: "lookup", output: "found", isError: false, createdAt });

describe("itemsOf and revive", () => {
  test("restores messages, finished tool calls and agent handoffs unchanged", () => {
    const history = new llm.ChatContext([
      llm.AgentHandoffItem.create({ newAgentId: "receptionist", createdAt: 1 }),
      message("assistant", "Hello.", 2),
      message("user", "Find it.", 3),
      call("a", 4),
      output("a", 5),
      llm.ChatMessage.create({
        role: "assistant",
        content: "Fou",
        createdAt: 6,
        id: "cut",
        interrupted: true,
      }),
    ]);
    const back = new llm.ChatContext(revive(throughJson(history), 1000));
    expect(back.toJSON({ excludeTimestamp: false })).toEqual(history.toJSON({ excludeTimestamp: false }));
    expect(back.isEquivalent(history)).toBe(true);
  });

  test("omits a tool call without output, and an output without its call", () => {
    const history = new llm.ChatContext([message("user", "Find it.", 1), call("a", 2), output("b", 3)]);
    expect(throughJson(history).map(({ id }) => id)).toEqual(["user-1"]);
  });

  test("keeps audio as its transcript and an image as its URL, never as bytes", () => {
    const sound: llm.AudioContent = { type: "audio_content", frame: [], transcript: "what I said" };
    const silence: llm.AudioContent = { type: "audio_content", frame: [] };
    const picture = llm.createImageContent({ image: "https://example.com/cat.png" });
    const bytes = llm.createImageContent({ image: `data:image/png;base64,${"A".repeat(500)}` });
    const history = new llm.ChatContext([
      message("user", [sound, picture, bytes], 1),
      message("user", [silence, bytes], 2),
    ]);
    const items = throughJson(history);
    expect(items.map(({ id }) => id)).toEqual(["user-1"]);
    expect(items[0]?.content).toEqual([
      "what I said",
      expect.objectContaining({ image: "https://example.com/cat.png" }),
    ]);
    const [revived] = revive(items, 10);
    expect((revived as llm.ChatMessage).textContent).toBe("what I said");
  });

  test("omits instructions and configuration updates, which belong to the file", () => {
    const history = new llm.ChatContext([
      new llm.AgentConfigUpdate({ instructions: "Be kind." }),
      message("user", "Hello.", 1),
    ]);
    expect(throughJson(history).map(({ type }) => type)).toEqual(["message"]);
  });

  test("shifts times of a clock that is ahead, so that new items come later", () => {
    const items = throughJson(
      new llm.ChatContext([message("user", "a", 5000), message("assistant", "b", 7000)]),
    );
    const context = new llm.ChatContext(revive(items, 1000));
    expect(context.items.map(({ createdAt }) => createdAt)).toEqual([-1001, 999]);
    context.insert(message("user", "c", 1000));
    expect(context.items.map((item) => (item as llm.ChatMessage).textContent)).toEqual(["a", "b", "c"]);
    expect(revive(items, 8000).map(({ createdAt }) => createdAt)).toEqual([5000, 7000]);
  });

  test("produces items that the store accepts, of each kind", () => {
    const history = new llm.ChatContext([
      llm.AgentHandoffItem.create({ newAgentId: "b", oldAgentId: "a" }),
      message("user", "Find it.", 1),
      call("a", 2),
      output("a", 3),
    ]);
    const record = {
      tenant: "t",
      sessionId: "s",
      attempt: 1,
      checkpoint: 1,
      omitted: 0,
      items: throughJson(history),
    };
    expect(ConversationRecord.parse(record)).toEqual(record);
  });
});

describe("trimConversation", () => {
  const text = (index: number) => `${index}`.padEnd(100, ".");
  const turns = (count: number) =>
    itemsOf(
      new llm.ChatContext(
        Array.from({ length: count }, (_, n) => [
          message("user", text(n), n * 10),
          call(`c${n}`, n * 10 + 1),
          output(`c${n}`, n * 10 + 2),
          message("assistant", text(n), n * 10 + 3),
        ]).flat(),
      ),
    );
  const size = (items: readonly unknown[]) => Buffer.byteLength(JSON.stringify(items));

  test("drops the oldest turns whole, and returns the number of omitted items", () => {
    const all = turns(10);
    const { items, omitted } = trimConversation(all, size(all) / 2);
    expect(size(items)).toBeLessThanOrEqual(size(all) / 2);
    expect(items[0]).toMatchObject({ type: "message", role: "user" });
    expect(omitted).toBe(all.length - items.length);
    expect(omitted % 4).toBe(0);
    expect(items).toEqual(all.slice(omitted));
    // Another turn would not fit.
    expect(size(all.slice(omitted - 4))).toBeGreaterThan(size(all) / 2);
  });

  test("keeps a conversation that fits, and adds up what earlier agents omitted", () => {
    const all = turns(3);
    expect(trimConversation(all, 100_000)).toEqual({ items: all, omitted: 0 });
    expect(trimConversation(all, 100_000, 7).omitted).toBe(7);
    expect(trimConversation(all, size(all) - 1, 7).omitted).toBe(11);
  });

  test("drops the beginning of the newest turn, or everything, when that turn alone is too large", () => {
    const all = turns(2);
    const { items } = trimConversation(all, size(all.slice(-1)) + 1);
    expect(items).toEqual(all.slice(-1));
    expect(trimConversation(all, 10)).toEqual({ items: [], omitted: all.length });
  });
});
