// The checkpoint of a conversation: what the next agent goes on from when one is lost.
import { z } from "zod";
import { SessionId, Tenant } from "../ids.ts";

/**
 * One item of LiveKit's chat history as its `toJSON` gives it: a message, a call of a tool or its output, or the
 * change from one agent of the file to another. Only what every item has is looked at; the rest is LiveKit's.
 */
export const ConversationItem = z.looseObject({
  id: z.string(),
  type: z.enum(["message", "function_call", "function_call_output", "agent_handoff"]),
  /** Milliseconds since 1970 on the clock of the host that the agent ran on. */
  createdAt: z.number(),
});
export type ConversationItem = z.infer<typeof ConversationItem>;

/** What was said so far, as it goes from one agent to the next. */
export const SavedConversation = z.object({
  items: z.array(ConversationItem),
  /** How many of the oldest items were left out because all of them would have been too large. */
  omitted: z.number().int().nonnegative(),
});
export type SavedConversation = z.infer<typeof SavedConversation>;

export const ConversationRecord = SavedConversation.extend({
  tenant: Tenant,
  sessionId: SessionId,
  /** Of the agent that wrote it. An older one's never replaces it. */
  attempt: z.number().int().positive(),
  /** Counts what this attempt stored. */
  checkpoint: z.number().int().positive(),
});
export type ConversationRecord = z.infer<typeof ConversationRecord>;

/**
 * The most that the items may have as JSON, in bytes. The bucket's limit leaves room for the rest of the record,
 * and stays below the largest message that the server takes (256 KB).
 */
export const CONVERSATION_BYTES_MAX = 128 * 1024;

/** What an agent file may set about failovers: `export const failover = { … }`. */
export const FailoverSettings = z
  .object({
    /** False: no conversation is stored, and the next agent starts from scratch. */
    restore: z.boolean(),
    /** What the next agent says instead of its greeting. Empty: nothing. */
    message: z.string().max(500),
  })
  .partial()
  .strict();
export type FailoverSettings = z.infer<typeof FailoverSettings>;
