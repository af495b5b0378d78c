// One job's conversation: put into its AgentSession when it goes on from another's, and told to the host as it grows.
import { llm, voice } from "@livekit/agents";
import { CONVERSATION_BYTES_MAX } from "../../../libs/contracts/sessions/conversation.ts";
import { trimConversation } from "../../../libs/domain/session/trim-conversation.ts";
import type { ProcessToHost, ResumedConversation } from "../pool/messages.ts";
import type { Resumption } from "./agent-api.ts";
import { itemsOf, revive } from "./chat-items.ts";

interface Deps {
  readonly slot: string;
  readonly resumes: ResumedConversation | undefined;
  /** False: the host is told nothing of what is said. */
  readonly keep: boolean;
  readonly send: (message: ProcessToHost) => void;
}

/** Where an agent keeps the context that its model is asked with; its own `updateChatCtx` forgets session tools. */
interface AgentInside {
  _chatCtx: llm.ChatContext;
}

export class JobConversation {
  readonly #deps: Deps;
  readonly #restored: readonly llm.ChatItem[];
  #isDue = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#restored = deps.resumes === undefined ? [] : revive(deps.resumes.items, Date.now());
  }

  /** True when something was said already, by the user or to them. */
  get hasBegun(): boolean {
    return this.#restored.some((item) => item.type === "message");
  }

  /** True when the user said something that nobody answered any more. */
  get awaitsAnswer(): boolean {
    const last = this.#restored.findLast((item) => item.type !== "agent_handoff");
    return last?.type === "function_call_output" || (last?.type === "message" && last.role === "user");
  }

  /** What an agent file can read of it; each time a copy, which the file may change. */
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
   * Puts the former conversation into a session that is about to start: into its agent's context, behind what the
   * file itself put there, and into the session's history, so that the next hand-over has the whole of it.
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

  /** Tells the host the conversation whenever something was added to it. */
  follow(session: voice.AgentSession): void {
    if (!this.#deps.keep) return;
    const onAdded = () => this.#tellSoon(session);
    session.on(voice.AgentSessionEventTypes.ConversationItemAdded, onAdded);
    // Calls of tools are added without that event.
    session.on(voice.AgentSessionEventTypes.FunctionToolsExecuted, onAdded);
  }

  /** Several additions in one turn of the event loop are told once. */
  #tellSoon(session: voice.AgentSession): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      const { resumes, send, slot } = this.#deps;
      const saved = trimConversation(itemsOf(session.history), CONVERSATION_BYTES_MAX, resumes?.omitted);
      // Until somebody has spoken there is nothing to go on from, and a start should cost no write.
      if (saved.items.some(({ type }) => type === "message")) send({ type: "conversation", slot, ...saved });
    });
  }
}

const missingIn = (context: llm.ChatContext, items: readonly llm.ChatItem[]): llm.ChatItem[] => {
  const present = new Set(context.items.map(({ id }) => id));
  return items.filter(({ id }) => !present.has(id));
};
