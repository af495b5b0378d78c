// Stores the conversations of a host's sessions, so that an agent on another host can resume them.
import { RecordWriter } from "../../../libs/bus/record-writer.ts";
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { conversations, sessions } from "../../../libs/contracts/buckets.ts";
import type { Assign } from "../../../libs/contracts/fleet/host.ts";
import { type AttemptRef, attemptKey, attemptRefOf, sessionKey } from "../../../libs/contracts/ids.ts";
import {
  CONVERSATION_BYTES_MAX,
  type ConversationRecord,
  type SavedConversation,
} from "../../../libs/contracts/sessions/conversation.ts";
import { trimConversation } from "../../../libs/domain/session/trim-conversation.ts";
import { sleep } from "../../../libs/runtime/clock.ts";
import type { ResumedConversation } from "../pool/messages.ts";

interface Deps extends ServiceDeps {
  /** False: conversations are neither stored nor read. */
  readonly enabled: boolean;
}

interface Kept {
  readonly writer: RecordWriter<ConversationRecord>;
  /** The conversation of an earlier attempt that this agent did not receive. It stays before the new items. */
  before: SavedConversation | undefined;
  /** The agent is done: a write that fails is not retried. */
  isOver: boolean;
}

/** The longest wait of the next agent for the conversation. */
const READ_MS = 1000;

export class ConversationStore {
  readonly #deps: Deps;
  readonly #kept = new Map<string, Kept>();
  /** Attempts that continue an earlier conversation, which is part of what they save. */
  readonly #resumed = new Set<string>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Stores the conversation soon: one write of a session at a time, and the newest state wins. */
  keep(ref: AttemptRef, saved: SavedConversation): void {
    if (!this.#deps.enabled) return;
    const kept = this.#kept.get(attemptKey(ref)) ?? this.#start(attemptRefOf(ref));
    kept.writer.write(() => ({
      ...withBefore(kept.before, saved),
      ...attemptRefOf(ref),
      checkpoint: kept.writer.count + 1,
    }));
  }

  /** The agent serves its session no more. */
  forget(ref: AttemptRef): void {
    const key = attemptKey(ref);
    const kept = this.#kept.get(key);
    if (kept !== undefined) kept.isOver = true;
    this.#kept.delete(key);
    this.#resumed.delete(key);
  }

  /**
   * The conversation of an earlier attempt. A caller must not wait for long: without it, or if the store is slow, the
   * agent starts an empty conversation.
   */
  async previousFor(assign: Assign): Promise<ResumedConversation | undefined> {
    const { bus, clock, enabled, log } = this.#deps;
    const { sessionId, attempt } = assign;
    if (!enabled || !assign.recovering) return undefined;
    try {
      const entry = await Promise.race([
        bus.kv.get(conversations, sessionKey(assign)),
        sleep(clock, READ_MS).then(() => "late" as const),
      ]);
      if (entry === "late") throw new Error(`The store did not answer within ${READ_MS} ms.`);
      if (entry === undefined || entry.value.attempt >= attempt || entry.value.items.length === 0)
        return undefined;
      const { attempt: from, items, omitted } = entry.value;
      this.#resumed.add(attemptKey(assign));
      return { attempt: from, items, omitted };
    } catch (error) {
      log.warn({ error, sessionId, attempt }, "failed to read the conversation; the agent starts without it");
      return undefined;
    }
  }

  #start(ref: AttemptRef): Kept {
    const { bus, clock, log } = this.#deps;
    const { sessionId, attempt } = ref;
    const key = attemptKey(ref);
    const mayWrite = async (stored: ConversationRecord | undefined) => {
      if ((stored?.attempt ?? 0) > attempt || !(await this.#isServed(ref))) return false;
      if (stored !== undefined && stored.attempt < attempt && !this.#resumed.has(key)) kept.before = stored;
      return true;
    };
    const writer = new RecordWriter({
      ...{ bus, clock, log, bucket: conversations, key: sessionKey(ref) },
      ...{ what: "a conversation", fields: { sessionId, attempt }, mayWrite },
      mayRetry: () => !kept.isOver,
    });
    const kept: Kept = { writer, before: undefined, isOver: false };
    this.#kept.set(key, kept);
    return kept;
  }

  /** Without this check, an agent that was paused could restore a conversation that was deleted with its session. */
  async #isServed(ref: AttemptRef): Promise<boolean> {
    const entry = await this.#deps.bus.kv.get(sessions, sessionKey(ref));
    return entry !== undefined && entry.value.state !== "ended" && entry.value.attempt === ref.attempt;
  }
}

/** Prepends the earlier conversation that the agent missed because the store was slow. The next agent gets both. */
function withBefore(before: SavedConversation | undefined, saved: SavedConversation): SavedConversation {
  if (before === undefined) return saved;
  const known = new Set(saved.items.map(({ id }) => id));
  const items = [...before.items.filter(({ id }) => !known.has(id)), ...saved.items];
  return trimConversation(items, CONVERSATION_BYTES_MAX, before.omitted + saved.omitted);
}
