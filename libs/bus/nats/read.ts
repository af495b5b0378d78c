// Reads the stored messages of a stream, in either order.
import { DeliverPolicy, ErrorCode, type JetStreamManager, NatsError, type StoredMsg } from "nats";
import type { Channel } from "../../contracts/streams.ts";
import type { ReadOptions, Stored } from "../bus.ts";
import { REQUEST_TIMEOUT_MS } from "../delivery-rules.ts";
import type { JetStream } from "./connection.ts";
import { getDirect, type RawMessage } from "./direct-get.ts";
import { isNotFound } from "./errors.ts";

/** The pause before the next look at a replica that lags. */
const REPLICA_POLL_MS = 20;
/** The longest time of a pass over a subject, including repetitions. */
const PASS_MS = 10_000;

/** @param decode returns undefined for a message that is skipped */
export function readStream<T>(
  jetstream: JetStream,
  channel: Channel<T>,
  options: ReadOptions,
  decode: (message: RawMessage) => T | undefined,
): Promise<Stored<T>[]> {
  const reader = new StreamReader(jetstream, channel, options, decode);
  return options.order === "newest-first" ? reader.newestFirst() : reader.oldestFirst();
}

/** Messages, and whether the stream holds more after them. */
interface Part {
  readonly messages: readonly RawMessage[];
  readonly hasMore: boolean;
}

class StreamReader<T> {
  readonly #jetstream: JetStream;
  readonly #stream: string;
  readonly #isDirect: boolean;
  readonly #options: ReadOptions;
  readonly #from: number;
  readonly #to: number;
  readonly #decode: (message: RawMessage) => T | undefined;

  constructor(
    jetstream: JetStream,
    channel: Channel<T>,
    options: ReadOptions,
    decode: (message: RawMessage) => T | undefined,
  ) {
    this.#jetstream = jetstream;
    this.#stream = channel.stream;
    this.#isDirect = channel.allowDirect === true;
    this.#options = options;
    this.#from = Math.max(1, options.from ?? 1);
    this.#to = options.to ?? Number.POSITIVE_INFINITY;
    this.#decode = decode;
  }

  async oldestFirst(): Promise<Stored<T>[]> {
    const { subject = ">", limit } = this.#options;
    const found: Stored<T>[] = [];
    let next = this.#from;
    while (found.length < limit && next <= this.#to) {
      const wanted = limit - found.length;
      const part = await this.#ask(() =>
        this.#isDirect ? this.#nextDirect(subject, next, wanted) : this.#nextFromLeader(subject, next),
      );
      for (const raw of part.messages) {
        if (raw.sequence > this.#to) return found;
        found.push(...this.#stored(raw));
      }
      if (!part.hasMore) return found;
      next = (part.messages.at(-1)?.sequence ?? next) + 1;
    }
    return found;
  }

  async newestFirst(): Promise<Stored<T>[]> {
    const { subject, from, to, limit } = this.#options;
    if (limit === 0) return [];
    if (subject === undefined) return this.#downFromNewest();
    if (limit === 1 && from === undefined && to === undefined) {
      const newest = await this.#ask(() => this.#get({ last_by_subj: subject }));
      if (newest === undefined) return [];
      const found = this.#stored(newest);
      if (found.length > 0) return found;
    }
    return await this.#ask(() => this.#lastOn(subject));
  }

  /** One request per message: the leader returns the next one on the subject. */
  async #nextFromLeader(subject: string, from: number): Promise<Part> {
    const stored = await storedFrom(this.#jetstream.manager, this.#stream, subject, from);
    return { messages: stored === undefined ? [] : [rawOf(stored)], hasMore: stored !== undefined };
  }

  /**
   * Two requests, to any replica.
   *
   * nats-server looks for as many messages as it was asked for, and reads a large stream to its end if there are
   * fewer. The first request therefore asks for one message, which comes with the number of those that follow.
   * The second asks for no more than there are. The first one starts at the last message of the page before, where
   * the server finds something at once.
   */
  async #nextDirect(subject: string, from: number, wanted: number): Promise<Part> {
    const get = (seq: number, batch: number) =>
      getDirect(this.#jetstream.link, this.#stream, { seq, next_by_subj: subject, batch });
    const first = await get(Math.max(from - 1, 1), 1);
    const [head] = first.messages;
    if (head === undefined) return { messages: [], hasMore: false };
    const begun = head.sequence >= from ? [head] : [];
    const count = Math.min(wanted - begun.length, first.pending);
    if (count === 0) return { messages: begun, hasMore: first.pending > 0 };
    const rest = await get(head.sequence + 1, count);
    const messages = [...begun, ...rest.messages];
    // Messages that the first request counted may be removed before the second.
    return { messages, hasMore: rest.messages.length > 0 && first.pending > count };
  }

  /** Message by message, since a page is not worth a consumer. */
  async #downFromNewest(): Promise<Stored<T>[]> {
    const { limit } = this.#options;
    const { state } = await this.#ask(() => this.#jetstream.manager.streams.info(this.#stream));
    const newest = Math.min(state.last_seq, this.#to);
    // The first sequence of an empty stream is 0 after a restart, and no message has that number.
    const oldest = Math.max(this.#from, state.first_seq);
    const found: Stored<T>[] = [];
    for (let upTo = newest; upTo >= oldest && found.length < limit; upTo -= limit) {
      const count = Math.min(limit, upTo - oldest + 1);
      const messages = await Promise.all(
        Array.from({ length: count }, (_, index) => this.#ask(() => this.#get({ seq: upTo - index }))),
      );
      for (const raw of messages) if (raw !== undefined) found.push(...this.#stored(raw));
    }
    return found.slice(0, limit);
  }

  /**
   * Passes over all messages on the subject: JetStream cannot read backwards. The replica that serves the pass may lag,
   * so the pass is repeated until it contains the message that the leader calls the newest.
   */
  async #lastOn(subject: string): Promise<Stored<T>[]> {
    const deadline = performance.now() + PASS_MS;
    for (;;) {
      const newest = await this.#get({ last_by_subj: subject });
      if (newest === undefined || newest.sequence < this.#from) return [];
      const target = Math.min(newest.sequence, this.#to);
      const { reached, found } = await this.#pass(subject, target, deadline);
      if (reached >= target) return found.slice(-this.#options.limit).reverse();
      if (performance.now() > deadline) throw NatsError.errorForCode(ErrorCode.Timeout);
      await new Promise((resolve) => setTimeout(resolve, REPLICA_POLL_MS));
    }
  }

  /** One pass up to a sequence, or to the end of what the replica has. */
  async #pass(
    subject: string,
    target: number,
    deadline: number,
  ): Promise<{ readonly reached: number; readonly found: Stored<T>[] }> {
    const { limit } = this.#options;
    const found: Stored<T>[] = [];
    const consumer = await this.#jetstream.js.consumers.get(this.#stream, {
      filterSubjects: [subject],
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#from,
    });
    try {
      const { num_pending: pending } = await consumer.info();
      if (pending === 0) return { reached: 0, found };
      let reached = 0;
      for (let before = -1; reached > before && reached < target && performance.now() < deadline; ) {
        before = reached;
        const messages = await consumer.fetch({ max_messages: pending, expires: REQUEST_TIMEOUT_MS });
        for await (const message of messages) {
          reached = message.seq;
          if (reached <= target) found.push(...this.#stored(rawOf(message)));
          if (found.length > 2 * limit) found.splice(0, found.length - limit);
          if (reached >= target) break;
        }
      }
      return { reached, found };
    } finally {
      await consumer.delete().catch(() => {});
    }
  }

  async #get(query: { seq: number } | { last_by_subj: string }): Promise<RawMessage | undefined> {
    try {
      return rawOf(await this.#jetstream.manager.streams.getMessage(this.#stream, query));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #stored(raw: RawMessage): Stored<T>[] {
    const message = this.#decode(raw);
    return message === undefined ? [] : [{ sequence: raw.sequence, message }];
  }

  #ask<R>(work: () => Promise<R>): Promise<R> {
    return this.#jetstream.link.ask(`reading ${this.#options.subject ?? this.#stream}`, work, true);
  }
}

type StoredMessage = Pick<StoredMsg, "seq" | "subject" | "data">;

const rawOf = ({ seq, subject, data }: StoredMessage): RawMessage => ({ sequence: seq, subject, data });

/** The first message on a subject from a sequence on, as the leader stores it. */
export async function storedFrom(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  from: number,
): Promise<StoredMsg | undefined> {
  try {
    // The client's types allow only one of these fields at a time.
    const query = { seq: from, next_by_subj: subject } as { seq: number };
    return await manager.streams.getMessage(stream, query);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
