// Streams on JetStream: publishing, consuming and reading messages.
import { type Channel, deadLetters } from "../../contracts/streams.ts";
import type { Ack, ConsumeOptions, Delivery, ReadOptions, Stop, Stored, Streams } from "../bus.ts";
import { decodeMessage, encode } from "../codec.ts";
import { pickStream } from "../overflow.ts";
import type { JetStream } from "./connection.ts";
import type { RawMessage } from "./direct-get.ts";
import { consumeDurable } from "./durable.ts";
import { isNotFound, storageError } from "./errors.ts";
import { readStream } from "./read.ts";

export class NatsStreams implements Streams {
  readonly #jetstream: JetStream;

  constructor(jetstream: JetStream) {
    this.#jetstream = jetstream;
  }

  async publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }> {
    const subject = channel.subjectOf(message);
    const msgID = channel.idOf(message);
    const data = encode(message);
    const streamFor = pickStream(channel);
    const store = (triedMs: number) =>
      this.#jetstream.js.publish(
        streamFor(triedMs).subjectOf(message),
        data,
        msgID === undefined ? {} : { msgID },
      );
    try {
      // A message with an id is stored once, however often it is sent.
      const ack = await this.#jetstream.link.ask(`storing ${subject}`, store, msgID !== undefined);
      return { duplicate: ack.duplicate };
    } catch (error) {
      throw storageError(`storing ${subject}`, error);
    }
  }

  consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Ack>,
  ): Promise<Stop> {
    return consumeDurable(this.#jetstream, channel.subjects, {
      stream: channel.stream,
      decode: ({ data, subject }) => decodeMessage(channel, data, subject),
      options,
      handle,
      deadLetter: (letter) => this.publish(deadLetters, letter),
      log: this.#jetstream.log,
      now: Date.now,
    });
  }

  async read<T>(channel: Channel<T>, options: ReadOptions): Promise<Stored<T>[]> {
    try {
      return await readStream(this.#jetstream, channel, options, (raw) => this.#decode(channel, raw));
    } catch (error) {
      throw storageError(`reading ${options.subject ?? channel.stream}`, error);
    }
  }

  async lastSequence<T>(channel: Channel<T>, subject: string): Promise<number> {
    const { link, manager } = this.#jetstream;
    const doing = `looking for the newest message on ${subject}`;
    try {
      const get = () => manager.streams.getMessage(channel.stream, { last_by_subj: subject });
      return (await link.ask(doing, get, true)).seq;
    } catch (error) {
      if (isNotFound(error)) return 0;
      throw storageError(doing, error);
    }
  }

  #decode<T>(channel: Channel<T>, { data, subject }: RawMessage): T | undefined {
    try {
      return decodeMessage(channel, data, subject);
    } catch (error) {
      this.#jetstream.log.debug({ error }, "skipped an unreadable message");
      return undefined;
    }
  }
}
