// The conversation of one job: restored into its AgentSession, and sent to the host whenever it changes.
import { llm, voice } from "@livekit/agents";
import { CONVERSATION_BYTES_MAX } from "../../../libs/contracts/sessions/conversation.ts";
import { trimConversation } from "../../../libs/domain/session/trim-conversation.ts";
import type { ProcessToHost, ResumedConversation } from "../pool/messages.ts";
import type { Resumption } from "./agent-api.ts";
import { itemsOf, revive } from "./chat-items.ts";

interface Deps {
  readonly slot: string;
  readonly resumes: ResumedConversation | undefined;
  /** False when the conversation is not sent to the host. */
  readonly keep: boolean;
  readonly send: (message: ProcessToHost) => void;
}

/** The agent's context for its model. `updateChatCtx`, the public method, drops the session's tools. */
interface AgentInside {
  _chatCtx: llm.ChatContext;
}

export class JobConversation {
  readonly #deps: Deps;
  readonly #restored: readonly llm.ChatItem[];
  #isSendPlanned = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#restored = deps.resumes === undefined ? [] : revive(deps.resumes.items, Date.now());
  }

  /** True when the conversation contains a message. */
  get hasBegun(): boolean {
    return this.#restored.some((item) => item.type === "message");
  }

  /** True when the last message of the user has no answer. */
  get awaitsAnswer(): boolean {
    const last = this.#restored.findLast((item) => item.type !== "agent_handoff");
    return last?.type === "function_call_output" || (last?.type === "message" && last.role === "user");
  }

  /** The conversation for the agent file: a copy each time, which the file may change. */
  resumption(): Resumption | undefined {
    const { resumes } = this.#deps;
    if (resumes === undefined || !this.hasBegun) return undefined;
    const handoff = this.#restored.findLast((item) => item.type === "agent_handoff");
    return {
      attempt: resumes.attempt,
      omitted: resumes.omitted,
      chatCtx: new llm.ChatContext([...this.#restored]).copy({ excludeHandoff: true }),
      agentId: handoff?.newAgentId,
    };
  }

  /**
   * Restores the conversation into a session that is about to start: into its agent's context, after the file's own items,
   * and into the session's history. The next failover therefore has the whole conversation.
   */
  restoreInto(session: voice.AgentSession, agent: voice.Agent): void {
    const { history } = session;
    history.items = [...missingIn(history, this.#restored), ...history.items];
    const context = agent.chatCtx;
    const tools = new llm.ToolContext([...session.tools, ...agent.toolCtx.tools]);
    const known = new llm.ChatContext([...this.#restored]).copy({ excludeHandoff: true, toolCtx: tools });
    (agent as unknown as AgentInside)._chatCtx = new llm.ChatContext([
      ...context.items,
      ...missingIn(context, known.items),
    ]);
  }

  /** Sends the conversation to the host after every change. */
  follow(session: voice.AgentSession): void {
    if (!this.#deps.keep) return;
    const onAdded = () => this.#sendSoon(session);
    session.on(voice.AgentSessionEventTypes.ConversationItemAdded, onAdded);
    // Tool calls are added without that event.
    session.on(voice.AgentSessionEventTypes.FunctionToolsExecuted, onAdded);
  }

  /** Several changes in one turn of the event loop are sent once. */
  #sendSoon(session: voice.AgentSession): void {
    if (this.#isSendPlanned) return;
    this.#isSendPlanned = true;
    setImmediate(() => {
      this.#isSendPlanned = false;
      const { resumes, send, slot } = this.#deps;
      const saved = trimConversation(itemsOf(session.history), CONVERSATION_BYTES_MAX, resumes?.omitted);
      // Without a message there is nothing to continue from, and a start should cost no write.
      if (saved.items.some(({ type }) => type === "message")) send({ type: "conversation", slot, ...saved });
    });
  }
}

const missingIn = (context: llm.ChatContext, items: readonly llm.ChatItem[]): llm.ChatItem[] => {
  const present = new Set(context.items.map(({ id }) => id));
  return items.filter(({ id }) => !present.has(id));
};
