// Opens a resumed conversation: a short sentence replaces the file's greeting.
import { AsyncLocalStorage } from "node:async_hooks";
import { voice } from "@livekit/agents";
import type { JobConversation } from "./conversation.ts";

/** Set while `entry` runs, also in `onEnter` of its agents, and not in handlers of room events or of the user. */
const entryScope = new AsyncLocalStorage<true>();

export const inEntry = <T>(entry: () => T): T => entryScope.run(true, entry);

/** The original methods of AgentSession, before they were patched. */
export type Voice = Pick<voice.AgentSession, "say" | "generateReply">;

/** Speech of `entry` within this time of the start is a greeting. */
const OPENING_MS = 10_000;

interface SpeechInside {
  _markDone(): void;
}

export class ResumeGreeting {
  readonly #conversation: JobConversation;
  readonly #message: string;
  readonly #warn: (error: unknown, message: string) => void;
  #beganAtMs = 0;
  #isOver = false;
  #bridge: voice.SpeechHandle | undefined;

  constructor(
    conversation: JobConversation,
    message: string,
    warn: (error: unknown, message: string) => void,
  ) {
    this.#conversation = conversation;
    this.#message = message;
    this.#warn = warn;
    this.#isOver = !conversation.hasBegun;
  }

  /** Leaves the greeting to the file: nothing is replaced. */
  leaveToFile(): void {
    this.#isOver = true;
  }

  begin(session: voice.AgentSession): void {
    this.#beganAtMs = performance.now();
    session.on(voice.AgentSessionEventTypes.ConversationItemAdded, ({ item }) => {
      if (item.type === "message" && item.role === "user") this.#isOver = true;
    });
  }

  /** Whether the next speech is the file's greeting, for a user who has already been greeted. */
  replacesSpeech(): boolean {
    if (this.#isOver || this.#beganAtMs === 0) return false;
    return entryScope.getStore() === true && performance.now() - this.#beganAtMs < OPENING_MS;
  }

  /** Bridges the gap once the session has started. */
  started(session: voice.AgentSession, originals: Voice): void {
    if (!this.#isOver) this.bridge(session, originals);
  }

  /**
   * Speaks the sentence, and answers the user's last message if the previous agent did not.
   *
   * The sentence is not added to the history, in which the model would find it after every failover.
   *
   * @returns the speech that replaces the greeting, for which a file may wait
   */
  bridge(session: voice.AgentSession, originals: Voice): voice.SpeechHandle {
    if (this.#bridge !== undefined) return this.#bridge;
    let last: voice.SpeechHandle | undefined;
    try {
      if (this.#message !== "" && canSpeak(session)) {
        last = originals.say.call(session, this.#message, { addToChatCtx: false });
      }
      if (this.#conversation.awaitsAnswer && (session.currentAgent.llm ?? session.llm) !== undefined) {
        last = originals.generateReply.call(session);
      }
    } catch (error) {
      this.#warn(error, "failed to bridge the gap; the conversation continues");
    }
    this.#bridge = last ?? nothingSaid();
    return this.#bridge;
  }
}

/** Without speech synthesis, only a text session can output a sentence. */
const canSpeak = (session: voice.AgentSession): boolean =>
  (session.currentAgent.tts ?? session.tts) !== undefined ||
  session.output.audio === null ||
  !session.output.audioEnabled;

function nothingSaid(): voice.SpeechHandle {
  const handle = voice.SpeechHandle.create();
  (handle as unknown as SpeechInside)._markDone();
  return handle;
}
