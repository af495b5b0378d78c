// Stored messages on JetStream: publishing once, and handling each until it is done.
import type { JetStreamClient, JetStreamManager } from "nats";
import { type Channel, deadLetters } from "../../contracts/streams.ts";
import type { Log } from "../../runtime/log.ts";
import type {
  AnyStore,
  ConsumeOptions,
  Delivery,
  PageOptions,
  ScanOptions,
  Stop,
  Stored,
  Verdict,
} from "../bus.ts";
import { decodeMessage, encode } from "../codec.ts";
import { REQUEST_TIMEOUT_MS } from "../delivery-rules.ts";
import { pickStream } from "../overflow.ts";
import { processDelivery } from "../process-delivery.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { takeFrom } from "./durable.ts";
import { isNotFound, storageError } from "./errors.ts";
import { purgeStream } from "./purge.ts";
import { type RawMessage, scanStream } from "./scan.ts";

export class NatsStreams {
  readonly #link: ReconnectingConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #log: Log;

  constructor(link: ReconnectingConnection, js: JetStreamClient, manager: JetStreamManager, log: Log) {
    this.#link = link;
    this.#js = js;
    this.#manager = manager;
    this.#log = log;
  }

  async publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }> {
    const subject = channel.subjectOf(message);
    const msgID = channel.idOf(message);
    const data = encode(message);
    const takerFor = pickStream(channel);
    const store = (triedMs: number) =>
      this.#js.publish(takerFor(triedMs).subjectOf(message), data, msgID === undefined ? {} : { msgID });
    try {
      // A message with an id is stored once, however often it is sent.
      const ack = await this.#link.ask(`storing ${subject}`, store, msgID !== undefined);
      return { duplicate: ack.duplicate };
    } catch (error) {
      throw storageError(`storing ${subject}`, error);
    }
  }

  async consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop> {
    return takeFrom({
      link: this.#link,
      js: this.#js,
      manager: this.#manager,
      stream: channel.stream,
      subjects: channel.subjects,
      options,
      take: (message) =>
        processDelivery(message, {
          stream: channel.stream,
          read: ({ data, subject }) => decodeMessage(channel, data, subject),
          options,
          handle,
          bury: (letter) => this.publish(deadLetters, letter),
          log: this.#log,
          now: Date.now,
        }),
      log: this.#log,
    });
  }

  async recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]> {
    const doing = `reading ${subject}`;
    try {
      const newest =
        limit === 1 ? await this.#link.ask(doing, () => this.#newest(channel, subject), true) : undefined;
      return newest ?? (await this.#link.ask(doing, () => this.#recent(channel, subject, limit), true));
    } catch (error) {
      throw storageError(doing, error);
    }
  }

  async lastSequence<T>(channel: Channel<T>, subject: string): Promise<number> {
    const doing = `looking for the newest of ${subject}`;
    try {
      const look = () => this.#manager.streams.getMessage(channel.stream, { last_by_subj: subject });
      return (await this.#link.ask(doing, look, true)).seq;
    } catch (error) {
      if (isNotFound(error)) return 0;
      throw storageError(doing, error);
    }
  }

  /** The newest alone takes one question to the stream's leader; undefined when nobody can read it. */
  async #newest<T>(channel: Channel<T>, subject: string): Promise<T[] | undefined> {
    try {
      const stored = await this.#manager.streams.getMessage(channel.stream, { last_by_subj: subject });
      const value = this.#read(channel, stored);
      return value === undefined ? undefined : [value];
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  async #recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]> {
    const consumer = await this.#js.consumers.get(channel.stream, { filterSubjects: [subject] });
    const { num_pending: pending } = await consumer.info();
    const found: T[] = [];
    if (pending > 0) {
      for await (const message of await consumer.fetch({
        max_messages: pending,
        expires: REQUEST_TIMEOUT_MS,
      })) {
        const value = this.#read(channel, message);
        if (value !== undefined) found.push(value);
      }
    }
    await consumer.delete().catch(() => {});
    return found.slice(-limit);
  }

  async fullness(store: AnyStore): Promise<number> {
    const name = "stream" in store ? store.stream : `KV_${store.name}`;
    try {
      const { config, state } = await this.#manager.streams.info(name);
      return config.max_bytes > 0 ? state.bytes / config.max_bytes : 0;
    } catch (error) {
      throw storageError(`asking how full ${name} is`, error);
    }
  }

  /** Message by message: a consumer would have to be made and removed for each page. */
  async page<T>(channel: Channel<T>, { limit, before }: PageOptions): Promise<Stored<T>[]> {
    try {
      const { state } = await this.#manager.streams.info(channel.stream);
      const newest = Math.min(state.last_seq, (before ?? Number.POSITIVE_INFINITY) - 1);
      // An empty stream begins at 0 on a node that was started again, and there is no message 0 to ask for.
      const oldest = Math.max(1, state.first_seq);
      const found: Stored<T>[] = [];
      for (let upTo = newest; upTo >= oldest && found.length < limit; upTo -= limit) {
        const count = Math.min(limit, upTo - oldest + 1);
        const stored = await Promise.all(
          Array.from({ length: count }, (_, index) => this.#messageAt(channel, upTo - index)),
        );
        for (const one of stored) if (one !== undefined && found.length < limit) found.push(one);
      }
      return found;
    } catch (error) {
      throw storageError(`reading ${channel.stream}`, error);
    }
  }

  async scan<T>(channel: Channel<T>, options: ScanOptions): Promise<Stored<T>[]> {
    const found: Stored<T>[] = [];
    const take = (stored: RawMessage): boolean => {
      const message = this.#read(channel, stored);
      if (message !== undefined) found.push({ sequence: stored.sequence, message });
      return message !== undefined;
    };
    try {
      await scanStream({ link: this.#link, manager: this.#manager }, channel, options, take);
      return found;
    } catch (error) {
      throw storageError(`scanning ${options.subject}`, error);
    }
  }

  async purge<T>(channel: Channel<T>, filter: string): Promise<number> {
    try {
      return await purgeStream({ link: this.#link, js: this.#js, manager: this.#manager }, channel, filter);
    } catch (error) {
      throw storageError(`purging ${filter}`, error);
    }
  }

  async erase<T>(channel: Channel<T>, sequence: number): Promise<boolean> {
    const doing = `erasing the message ${sequence} of ${channel.stream}`;
    const look = () => this.#manager.streams.getMessage(channel.stream, { seq: sequence });
    try {
      if ((await this.#link.ask(doing, look, true).catch(nothingIfNotFound)) === undefined) return false;
      const work = () => this.#manager.streams.deleteMessage(channel.stream, sequence, true);
      try {
        return await this.#link.ask(doing, work, true);
      } catch (error) {
        // Somebody else was faster, or the answer to it was lost: either way it isn't there any more.
        if ((await this.#link.ask(doing, look, true).catch(nothingIfNotFound)) === undefined) return true;
        throw error;
      }
    } catch (error) {
      throw storageError(doing, error);
    }
  }

  async #messageAt<T>(channel: Channel<T>, sequence: number): Promise<Stored<T> | undefined> {
    try {
      const stored = await this.#manager.streams.getMessage(channel.stream, { seq: sequence });
      const message = this.#read(channel, stored);
      return message === undefined ? undefined : { sequence, message };
    } catch (error) {
      if (isNotFound(error)) return undefined; // It was removed, or is too old.
      throw error;
    }
  }

  #read<T>(channel: Channel<T>, stored: { data: Uint8Array; subject: string }): T | undefined {
    try {
      return decodeMessage(channel, stored.data, stored.subject);
    } catch (error) {
      this.#log.debug({ error }, "a stored message can't be read; it is passed over");
      return undefined;
    }
  }
}

const nothingIfNotFound = (error: unknown): undefined => {
  if (!isNotFound(error)) throw error;
};
