// Converts a chat history to plain data and back: text, tool calls and their outputs, without audio and image data.
import { llm } from "@livekit/agents";
import type { ConversationItem } from "../../../libs/contracts/sessions/conversation.ts";

/** An image is kept if it is a URL, and omitted if it contains its data. */
const MAX_URL_LENGTH = 2048;

type Json = Record<string, unknown>;

/** The items of a history from which another agent can continue. */
export function itemsOf(history: llm.ChatContext): ConversationItem[] {
  const { items } = history.toJSON({
    excludeImage: false,
    excludeAudio: false,
    excludeTimestamp: false,
    excludeConfigUpdate: true,
  }) as { items: Json[] };
  const called = idsOf(items, "function_call");
  const answered = idsOf(items, "function_call_output");
  return items.flatMap((item) => {
    switch (item.type) {
      case "message":
        return withoutMedia(item);
      // Models reject a tool call without its output, and the next agent could not learn the output.
      case "function_call":
        return answered.has(item.callId) ? [item as ConversationItem] : [];
      case "function_call_output":
        return called.has(item.callId) ? [item as ConversationItem] : [];
      case "agent_handoff":
        return [item as ConversationItem];
      default:
        return [];
    }
  });
}

/**
 * The items as LiveKit's own objects.
 *
 * LiveKit sorts by `createdAt`. The times may come from a clock that is ahead of this host's. All of them are then moved
 * into the past, so that later items come after them.
 */
export function revive(items: readonly ConversationItem[], now: number): llm.ChatItem[] {
  const newest = Math.max(...items.map(({ createdAt }) => createdAt));
  const moveMs = Math.min(0, now - 1 - newest);
  return items.map((item) => reviveOne({ ...item, createdAt: item.createdAt + moveMs }));
}

function reviveOne(item: ConversationItem): llm.ChatItem {
  switch (item.type) {
    case "message":
      return llm.ChatMessage.create({ ...item, content: contentOf(item) } as never);
    case "function_call":
      return llm.FunctionCall.create(item as never);
    case "function_call_output":
      return llm.FunctionCallOutput.create(item as never);
    case "agent_handoff":
      return llm.AgentHandoffItem.create(item as never);
  }
}

const contentOf = ({ content }: Json): llm.ChatContent[] =>
  (Array.isArray(content) ? content : []).map((part: string | Json) =>
    typeof part === "string" ? part : llm.createImageContent(part as never),
  );

const idsOf = (items: readonly Json[], type: string): Set<unknown> =>
  new Set(items.filter((item) => item.type === type).map((item) => item.callId));

/** The message without media, or nothing for a message of media only. Models do not read its metrics. */
function withoutMedia({ metrics: _, ...message }: Json): ConversationItem[] {
  const content = (message.content as (string | Json)[]).flatMap(asText);
  return content.length === 0 ? [] : [{ ...message, content } as unknown as ConversationItem];
}

/** Audio becomes its transcript. */
function asText(part: string | Json): (string | Json)[] {
  if (typeof part === "string") return [part];
  switch (part.type) {
    case "instructions":
      return typeof part.audio === "string" ? [part.audio] : [];
    case "audio_content":
      return typeof part.transcript === "string" && part.transcript !== "" ? [part.transcript] : [];
    case "image_content":
      return isUrl(part.image) ? [part] : [];
    default:
      return [];
  }
}

const isUrl = (image: unknown): boolean =>
  typeof image === "string" && !image.startsWith("data:") && image.length <= MAX_URL_LENGTH;
