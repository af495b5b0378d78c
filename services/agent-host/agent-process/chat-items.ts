// A chat history as plain data and back: text, calls of tools and their outputs, without sound and pictures.
import { llm } from "@livekit/agents";
import type { ConversationItem } from "../../../libs/contracts/sessions/conversation.ts";

/** Pictures are kept when they are only an address; one that carries its data in itself is not. */
const LONGEST_ADDRESS = 2048;

type Json = Record<string, unknown>;

/** What of a history another agent can go on from. */
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
      // Of a call that nobody answered yet, the next agent couldn't learn the output; models refuse such a pair.
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
 * LiveKit sorts by `createdAt`, and these times may come from a clock that is ahead of ours: then all of them are
 * moved, so that what is said from now on comes after them.
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

/** Nothing when nothing is left of it. Its measurements are left out: no model reads them. */
function withoutMedia({ metrics: _, ...message }: Json): ConversationItem[] {
  const content = (message.content as (string | Json)[]).flatMap(asText);
  return content.length === 0 ? [] : [{ ...message, content } as unknown as ConversationItem];
}

/** Sound becomes what was understood of it. */
function asText(part: string | Json): (string | Json)[] {
  if (typeof part === "string") return [part];
  switch (part.type) {
    case "instructions":
      return typeof part.audio === "string" ? [part.audio] : [];
    case "audio_content":
      return typeof part.transcript === "string" && part.transcript !== "" ? [part.transcript] : [];
    case "image_content":
      return isAddress(part.image) ? [part] : [];
    default:
      return [];
  }
}

const isAddress = (image: unknown): boolean =>
  typeof image === "string" && !image.startsWith("data:") && image.length <= LONGEST_ADDRESS;
