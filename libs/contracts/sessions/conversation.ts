// Conversation checkpoints, from which the next agent continues after a failover.
import { z } from "zod";
import { SessionId, Tenant } from "../ids.ts";

/**
 * One item of LiveKit's chat history, as its `toJSON` returns it. Types: message, tool call, tool output, and handoff
 * between agents of the file. Greenroom reads only the fields that all items have.
 */
export const ConversationItem = z.looseObject({
  id: z.string(),
  type: z.enum(["message", "function_call", "function_call_output", "agent_handoff"]),
  /** Milliseconds since 1970, on the clock of the agent's host. */
  createdAt: z.number(),
});
export type ConversationItem = z.infer<typeof ConversationItem>;

/** The conversation so far, for the next agent. */
export const SavedConversation = z.object({
  items: z.array(ConversationItem),
  /** Number of oldest items that were omitted because of the size limit. */
  omitted: z.number().int().nonnegative(),
});
export type SavedConversation = z.infer<typeof SavedConversation>;

export const ConversationRecord = SavedConversation.extend({
  tenant: Tenant,
  sessionId: SessionId,
  /** The attempt that wrote the record. An older attempt never replaces a newer one's. */
  attempt: z.number().int().positive(),
  /** Counts the checkpoints of this attempt. */
  checkpoint: z.number().int().positive(),
});
export type ConversationRecord = z.infer<typeof ConversationRecord>;

/**
 * Maximum size of the items as JSON, in bytes. The bucket's limit adds room for the rest of the record and stays below
 * the server's maximum message size (256 KB).
 */
export const CONVERSATION_BYTES_MAX = 128 * 1024;

/** The `failover` export of an agent file. */
export const FailoverSettings = z
  .object({
    /** False: no conversation is stored, and the next agent starts from scratch. */
    restore: z.boolean(),
    /** Replaces the greeting of the next agent. Empty: it is silent. */
    message: z.string().max(500),
  })
  .partial()
  .strict();
export type FailoverSettings = z.infer<typeof FailoverSettings>;
