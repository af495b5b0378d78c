// Stored messages on JetStream: publishing once, and handling each until it is done.
import {
  AckPolicy,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type NatsConnection,
  nanos,
} from "nats";
import { type Channel, deadLetters } from "../contracts/channels.ts";
import { deferred } from "../process/deferred.ts";
import type { Log } from "../process/log.ts";
import type { ConsumeOptions, Delivery, PageOptions, Stop, Stored, Verdict } from "./bus.ts";
import { decodeMessage, encode } from "./codec.ts";
import { ACK_WAIT_MS, WORKING_MS } from "./delivery-rules.ts";
import { isNotFound, storageError } from "./nats-errors.ts";
import { type InHand, type Settling, settle } from "./settle.ts";

export class NatsStreams {
  readonly #connection: NatsConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #log: Log;

  constructor(connection: NatsConnection, js: JetStreamClient, manager: JetStreamManager, log: Log) {
    this.#connection = connection;
    this.#js = js;
    this.#manager = manager;
    this.#log = log;
  }

  async publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }> {
    const subject = channel.subjectOf(message);
    const msgID = channel.idOf(message);
    try {
      const ack = await this.#js.publish(subject, encode(message), msgID === undefined ? {} : { msgID });
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
    await this.#ensureConsumer(channel, options);
    const slots = createSlots(options.concurrency);
    const settling: Settling<T> = {
      channel,
      options,
      handle,
      bury: (letter) => this.publish(deadLetters, letter),
      log: this.#log,
      now: Date.now,
    };
    let current: ConsumerMessages | undefined;
    let stopped = false;
    const loop = async () => {
      while (!stopped) {
        try {
          const consumer = await this.#js.consumers.get(channel.stream, options.durable);
          while (!stopped) {
            // Asked for as many as there are free hands: `consume()` would go on asking while they are full.
            const free = await slots.someFree();
            if (stopped) return;
            current = await consumer.fetch({ max_messages: free, expires: 5000, idle_heartbeat: 1000 });
            for await (const message of current) slots.run(message, settling);
          }
        } catch (error) {
          if (stopped || this.#connection.isClosed()) return;
          this.#log.warn({ error, stream: channel.stream }, "consuming stopped; it starts again in a second");
          await new Promise((resolve) => setTimeout(resolve, 1000));
          if (isNotFound(error)) await this.#ensureConsumer(channel, options).catch(() => {});
        }
      }
    };
    void loop();
    return async () => {
      stopped = true;
      current?.stop();
      await slots.allDone();
    };
  }

  async recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]> {
    try {
      const consumer = await this.#js.consumers.get(channel.stream, { filterSubjects: [subject] });
      const { num_pending: pending } = await consumer.info();
      const found: T[] = [];
      if (pending > 0) {
        for await (const message of await consumer.fetch({ max_messages: pending, expires: 2000 })) {
          const value = this.#read(channel, message);
          if (value !== undefined) found.push(value);
        }
      }
      await consumer.delete().catch(() => {});
      return found.slice(-limit);
    } catch (error) {
      throw storageError(`reading ${subject}`, error);
    }
  }

  /** Message by message: a consumer would have to be made and removed for each page. */
  async page<T>(channel: Channel<T>, { limit, before }: PageOptions): Promise<Stored<T>[]> {
    try {
      const { state } = await this.#manager.streams.info(channel.stream);
      const newest = Math.min(state.last_seq, (before ?? Number.POSITIVE_INFINITY) - 1);
      const found: Stored<T>[] = [];
      for (let upTo = newest; upTo >= state.first_seq && found.length < limit; upTo -= limit) {
        const count = Math.min(limit, upTo - state.first_seq + 1);
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

  async #ensureConsumer<T>(channel: Channel<T>, options: ConsumeOptions): Promise<void> {
    await this.#manager.consumers.add(channel.stream, {
      durable_name: options.durable,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: nanos(ACK_WAIT_MS),
      // Never given up by the server: a message past its deliveries would stay stored and undeliverable.
      max_deliver: -1,
      max_ack_pending: 10_000,
      filter_subject: channel.subjects,
    });
  }
}

/** The messages in hand of one consumer: never more at work than it has slots. */
function createSlots(size: number) {
  const running = new Set<Promise<void>>();
  const waiting: (() => void)[] = [];
  let busy = 0;
  let freed = deferred<void>();
  const start = (work: () => Promise<void>) => {
    busy += 1;
    const job = work().finally(() => {
      running.delete(job);
      busy -= 1;
      waiting.shift()?.();
      freed.resolve();
      freed = deferred<void>();
    });
    running.add(job);
  };
  return {
    async someFree(): Promise<number> {
      while (busy >= size) await freed.promise;
      return size - busy;
    },
    /** After a reconnection the server may send more than was asked for: those wait, and are kept alive. */
    run<T>(message: JsMsg, settling: Settling<T>): void {
      const working = setInterval(() => message.working(), WORKING_MS);
      const work = () => settle(inHand(message), settling).finally(() => clearInterval(working));
      if (busy < size) start(work);
      else waiting.push(() => start(work));
    },
    async allDone(): Promise<void> {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

const inHand = (message: JsMsg): InHand => ({
  subject: message.subject,
  sequence: message.seq,
  data: message.data,
  deliveries: message.info.deliveryCount,
  ack: () => message.ack(),
  retryAfter: (ms) => message.nak(ms),
  giveUp: (reason) => message.term(reason),
});
