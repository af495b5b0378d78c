// Holds the transcripts of an agent until the page of its user can show them.
import {
  type LocalParticipant,
  type RemoteParticipant,
  RoomEvent,
  TextStreamWriter,
} from "@livekit/rtc-node";
import { LISTENING_ATTRIBUTE } from "../../../libs/contracts/sessions/room-messages.ts";
import { NOBODY } from "./call-answer.ts";
import type { JobRoom } from "./room.ts";

/** LiveKit's topic for transcripts. */
const TOPIC = "lk.transcription";
/** Participants who are no people count after this time, in a room without people. */
const OTHERS_MS = 10_000;

type Options = NonNullable<Parameters<LocalParticipant["streamText"]>[0]>;
type Open = () => Promise<TextStreamWriter>;

/**
 * The speech of an AgentSession waits until a participant has subscribed to it. Its transcript does not wait, and
 * LiveKit's clients drop a text stream that nothing on the page reads yet. A warm agent speaks so early that pages made
 * with LiveKit's components lose its greeting. So a transcript waits until a person has been in the room for a while, or
 * has the attribute `greenroom.listening`.
 */
export class TranscriptHold {
  readonly #room: JobRoom;
  readonly #delayMs: number;
  readonly #onError: (error: unknown) => void;
  /** When each participant was first seen, in ms of performance.now(). */
  readonly #arrivals = new Map<string, number>();
  /** Resolves when the last held transcript has been opened. */
  #last: Promise<unknown> | undefined;

  /** @param delayMs the time in ms from the arrival of a person until a transcript is sent; 0: nothing is held */
  constructor(room: JobRoom, delayMs: number, onError: (error: unknown) => void) {
    this.#room = room;
    this.#delayMs = delayMs;
    this.#onError = onError;
  }

  /** Watches the room, which the agent has joined. @param pagesAreOpen true if the users have been there for longer */
  follow(pagesAreOpen: boolean): void {
    const seenAt = pagesAreOpen ? Number.NEGATIVE_INFINITY : performance.now();
    for (const identity of this.#room.remoteParticipants.keys()) this.#seenAt(identity, seenAt);
    this.#room.on(RoomEvent.ParticipantConnected, ({ identity }) => this.#seenAt(identity));
    this.#room.on(RoomEvent.ParticipantDisconnected, ({ identity }) => this.#arrivals.delete(identity));
  }

  /** Makes the transcripts of the agent's participant wait. */
  hold(participant: LocalParticipant): void {
    if (this.#delayMs === 0) return;
    const streamText = participant.streamText.bind(participant);
    participant.streamText = async (options = {}) => {
      if (options.topic !== TOPIC || (this.#last === undefined && this.#waitMs() === 0))
        return streamText(options);
      return this.#open(options, () => streamText(options));
    };
  }

  /** Opens a stream later, after the ones before it. */
  #open(options: Options, open: Open): TextStreamWriter {
    const opened = (this.#last ?? this.#whenHeard()).then(open);
    const done = opened.catch(this.#onError).then(() => {
      if (this.#last === done) this.#last = undefined;
    });
    this.#last = done;
    return new HeldWriter(opened, options);
  }

  async #whenHeard(): Promise<void> {
    for (let wait = this.#waitMs(); wait > 0; wait = this.#waitMs()) await this.#change(wait);
  }

  /** Waits until the participants have changed, or for a time in ms. */
  #change(ms: number): Promise<void> {
    const room = this.#room;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        for (const event of CHANGES) room.off(event, done);
        resolve();
      };
      const timer = Number.isFinite(ms) ? setTimeout(done, ms) : undefined;
      for (const event of CHANGES) room.on(event, done);
    });
  }

  /** The time in ms until somebody hears; infinite while nobody is there. */
  #waitMs(): number {
    const waits = [...this.#room.remoteParticipants.values()].map((one) => this.#waitFor(one));
    return Math.min(Number.POSITIVE_INFINITY, ...waits);
  }

  #waitFor({ attributes, identity, info }: RemoteParticipant): number {
    if (attributes[LISTENING_ATTRIBUTE] !== undefined) return 0;
    const delayMs = NOBODY.has(info.kind) ? OTHERS_MS : this.#delayMs;
    return Math.max(0, this.#seenAt(identity) + delayMs - performance.now());
  }

  #seenAt(identity: string, now = performance.now()): number {
    const seenAt = this.#arrivals.get(identity) ?? now;
    this.#arrivals.set(identity, seenAt);
    return seenAt;
  }
}

const CHANGES = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged,
] as const;

/** A stream that is opened later. Nobody waits for what is written until then, so that the agent speaks on. */
class HeldWriter extends TextStreamWriter {
  constructor(opened: Promise<TextStreamWriter>, { attributes, streamId = "", topic = "" }: Options) {
    const sink = new WritableStream<string>({
      write: async (text) => (await opened).write(text),
      close: async () => (await opened).close(),
    });
    super(sink, {
      streamId,
      mimeType: "text/plain",
      topic,
      timestamp: Date.now(),
      ...(attributes === undefined ? {} : { attributes }),
    });
  }

  override async write(text: string): Promise<void> {
    super.write(text).catch(ignore);
  }

  override async close(): Promise<void> {
    super.close().catch(ignore);
  }
}

/** The failure to open the stream has been reported. */
const ignore = (): void => {};
