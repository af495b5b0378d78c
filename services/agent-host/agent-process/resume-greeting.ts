// How a resumed conversation opens: the file's greeting is held back, and a short sentence bridges the gap.
import { AsyncLocalStorage } from "node:async_hooks";
import { voice } from "@livekit/agents";
import type { JobConversation } from "./conversation.ts";

/** Set in all that `entry` does, `onEnter` of its agents included; not in what a room event or a user starts. */
const entryScope = new AsyncLocalStorage<true>();

export const inEntry = <T>(entry: () => T): T => entryScope.run(true, entry);

/** What a stage puts itself in front of, as it was. */
export type Voice = Pick<voice.AgentSession, "say" | "generateReply">;

/** A greeting comes soon after the start; what `entry` says later is no greeting. */
const OPENING_MS = 10_000;

interface SpeechInside {
  _markDone(): void;
}

export class ResumeGreeting {
  readonly #conversation: JobConversation;
  readonly #sentence: string;
  readonly #warn: (error: unknown, message: string) => void;
  #beganAtMs = 0;
  #isOver = false;
  #bridge: voice.SpeechHandle | undefined;

  constructor(
    conversation: JobConversation,
    sentence: string,
    warn: (error: unknown, message: string) => void,
  ) {
    this.#conversation = conversation;
    this.#sentence = sentence;
    this.#warn = warn;
    this.#isOver = !conversation.hasBegun;
  }

  /** The file greets by itself: nothing is held back, and nothing is said in its place. */
  leaveToFile(): void {
    this.#isOver = true;
  }

  begin(session: voice.AgentSession): void {
    this.#beganAtMs = performance.now();
    session.on(voice.AgentSessionEventTypes.ConversationItemAdded, ({ item }) => {
      if (item.type === "message" && item.role === "user") this.#isOver = true;
    });
  }

  /** Whether what is about to be said is the file's greeting, for a user who was greeted long ago. */
  holdsBack(): boolean {
    if (this.#isOver || this.#beganAtMs === 0) return false;
    return entryScope.getStore() === true && performance.now() - this.#beganAtMs < OPENING_MS;
  }

  /** Bridges the gap, once, as soon as the session has started. */
  started(session: voice.AgentSession, originals: Voice): void {
    if (!this.#isOver) this.bridge(session, originals);
  }

  /**
   * Says the sentence, and answers what the former agent was asked and didn't live to answer.
   *
   * The sentence is not added to the history: the model would find it there after every hand-over.
   *
   * @returns the speech in the place of a greeting, which a file may wait for
   */
  bridge(session: voice.AgentSession, originals: Voice): voice.SpeechHandle {
    if (this.#bridge !== undefined) return this.#bridge;
    let last: voice.SpeechHandle | undefined;
    try {
      if (this.#sentence !== "" && canSpeak(session)) {
        last = originals.say.call(session, this.#sentence, { addToChatCtx: false });
      }
      if (this.#conversation.awaitsAnswer && (session.currentAgent.llm ?? session.llm) !== undefined) {
        last = originals.generateReply.call(session);
      }
    } catch (error) {
      this.#warn(error, "the gap could not be bridged; the conversation goes on");
    }
    this.#bridge = last ?? nothingSaid();
    return this.#bridge;
  }
}

/** Without speech synthesis only a session of text can say a sentence. */
const canSpeak = (session: voice.AgentSession): boolean =>
  (session.currentAgent.tts ?? session.tts) !== undefined ||
  session.output.audio === null ||
  !session.output.audioEnabled;

function nothingSaid(): voice.SpeechHandle {
  const handle = voice.SpeechHandle.create();
  (handle as unknown as SpeechInside)._markDone();
  return handle;
}
