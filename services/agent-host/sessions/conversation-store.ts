// Keeps the conversations of a host's sessions in the store, so that an agent elsewhere can go on from them.
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { conversations, sessions } from "../../../libs/contracts/buckets.ts";
import { isError } from "../../../libs/contracts/errors.ts";
import type { Assign } from "../../../libs/contracts/fleet/host.ts";
import { type AttemptRef, attemptKey, attemptRefOf, sessionKey } from "../../../libs/contracts/ids.ts";
import {
  CONVERSATION_BYTES_MAX,
  type SavedConversation,
} from "../../../libs/contracts/sessions/conversation.ts";
import { trimConversation } from "../../../libs/domain/session/trim-conversation.ts";
import { sleep } from "../../../libs/runtime/clock.ts";
import type { ResumedConversation } from "../pool/messages.ts";

interface Deps extends ServiceDeps {
  /** False: nothing is stored, and nothing is read. */
  readonly enabled: boolean;
}

/** What is known of one attempt's conversation. */
interface Kept extends AttemptRef {
  /** The newest that is not stored yet; an older one that was still waiting is forgotten. */
  next: SavedConversation | undefined;
  isWriting: boolean;
  /** Where the key stands; undefined until it was read. */
  revision: number | undefined;
  stored: number;
  /** What a former attempt left that this one was never given: it stays in front of what is said now. */
  before: SavedConversation | undefined;
  /** The agent is done: what can't be stored now never will be. */
  isOver: boolean;
  /** Another attempt has taken over, or the session is over: nothing of this one is stored any more. */
  isFenced: boolean;
}

const AGAIN_MS = 500;
/** A next agent isn't kept waiting longer than this for what the former one said. */
const READ_MS = 1000;

export class ConversationStore {
  readonly #deps: Deps;
  readonly #kept = new Map<string, Kept>();
  /** Attempts that go on from what a former one left, so that it is part of what they say. */
  readonly #resumed = new Set<string>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Stores what was said so far, soon: at most one write of a session is under way, and the newest wins. */
  keep(ref: AttemptRef, saved: SavedConversation): void {
    if (!this.#deps.enabled) return;
    const key = attemptKey(ref);
    let kept = this.#kept.get(key);
    if (kept === undefined) {
      kept = {
        ...attemptRefOf(ref),
        next: undefined,
        isWriting: false,
        revision: undefined,
        stored: 0,
        before: undefined,
        isOver: false,
        isFenced: false,
      };
      this.#kept.set(key, kept);
    }
    kept.next = saved;
    if (!kept.isWriting) void this.#write(kept);
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
   * What a former attempt left for this one. Without it, because there is none or because the store doesn't give
   * it in time, the agent begins anew: a caller must not wait for it.
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
      if (entry === "late") throw new Error(`the store did not give it within ${READ_MS} ms`);
      if (entry === undefined || entry.value.attempt >= attempt || entry.value.items.length === 0)
        return undefined;
      const { attempt: from, items, omitted } = entry.value;
      this.#resumed.add(attemptKey(assign));
      return { attempt: from, items, omitted };
    } catch (error) {
      log.warn({ error, sessionId, attempt }, "the conversation could not be read; the agent begins anew");
      return undefined;
    }
  }

  async #write(kept: Kept): Promise<void> {
    const { clock, log } = this.#deps;
    kept.isWriting = true;
    while (kept.next !== undefined && !kept.isFenced) {
      const saved = kept.next;
      kept.next = undefined;
      try {
        if (!(await this.#save(kept, saved))) kept.next ??= saved;
      } catch (error) {
        if (isError(error, "payload_too_large") || kept.isOver) {
          log.warn({ error, sessionId: kept.sessionId }, "a conversation could not be stored");
          continue;
        }
        log.debug(
          { error, sessionId: kept.sessionId },
          "a conversation could not be stored; it is tried again",
        );
        kept.next ??= saved;
        // By then another attempt may have come and gone, and its conversation been removed with the session:
        // what is known of the key from before says nothing any more.
        kept.revision = undefined;
        await sleep(clock, AGAIN_MS);
      }
    }
    kept.isWriting = false;
  }

  /** @returns false when somebody else has written meanwhile, so that it has to be decided again. */
  async #save(kept: Kept, saved: SavedConversation): Promise<boolean> {
    const { bus } = this.#deps;
    const { attempt } = kept;
    if (kept.revision === undefined) {
      const entry = await bus.kv.get(conversations, sessionKey(kept));
      kept.isFenced = (entry?.value.attempt ?? 0) > attempt || !(await this.#isServed(kept));
      if (kept.isFenced) return true;
      kept.revision = entry?.revision ?? 0;
      if (entry !== undefined && entry.value.attempt < attempt && !this.#isResumed(kept))
        kept.before = entry.value;
    }
    const checkpoint = kept.stored + 1;
    kept.revision = await bus.kv.update(
      conversations,
      { ...withBefore(kept.before, saved), ...attemptRefOf(kept), checkpoint },
      kept.revision,
    );
    if (kept.revision === undefined) return false;
    kept.stored = checkpoint;
    return true;
  }

  #isResumed(ref: AttemptRef): boolean {
    return this.#resumed.has(attemptKey(ref));
  }

  /** Without this look, an agent that slept could bring back what was removed with the end of its session. */
  async #isServed(ref: AttemptRef): Promise<boolean> {
    const entry = await this.#deps.bus.kv.get(sessions, sessionKey(ref));
    return entry !== undefined && entry.value.state !== "ended" && entry.value.attempt === ref.attempt;
  }
}

/** An agent that began anew, because the store was late, must not cost the next one what was said before. */
function withBefore(before: SavedConversation | undefined, saved: SavedConversation): SavedConversation {
  if (before === undefined) return saved;
  const known = new Set(saved.items.map(({ id }) => id));
  const items = [...before.items.filter(({ id }) => !known.has(id)), ...saved.items];
  return trimConversation(items, CONVERSATION_BYTES_MAX, before.omitted + saved.omitted);
}
