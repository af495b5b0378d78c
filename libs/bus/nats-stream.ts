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
import { messageOf } from "../contracts/errors.ts";
import type { Log } from "../process/log.ts";
import type { ConsumeOptions, Delivery, Stop, Verdict } from "./bus.ts";
import { decode, encode, textOf } from "./codec.ts";
import { isNotFound, storageError } from "./nats-errors.ts";

const ACK_WAIT_MS = 5000;
const WORKING_MS = 2000;
/** A message that failed this often is not going to succeed: about four minutes of pauses. */
export const MAX_DELIVERIES = 30;

/** Pauses between deliveries in ms: quick at first, since most retries wait for a write in flight. */
export const retryPauseMs = (deliveries: number): number => Math.min(50 * 2 ** (deliveries - 1), 10_000);

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
    const running = new Set<Promise<void>>();
    let current: ConsumerMessages | undefined;
    let stopped = false;
    const loop = async () => {
      while (!stopped) {
        try {
          const consumer = await this.#js.consumers.get(channel.stream, options.durable);
          current = await consumer.consume({
            max_messages: options.concurrency,
            expires: 5000,
            idle_heartbeat: 1000,
            callback: (message) => {
              const work = this.#settle(channel, message, handle).finally(() => running.delete(work));
              running.add(work);
            },
          });
          const closed = await current.closed();
          if (closed !== undefined) throw closed;
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
      await Promise.all(running);
    };
  }

  async recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]> {
    try {
      const consumer = await this.#js.consumers.get(channel.stream, { filterSubjects: [subject] });
      const { num_pending: pending } = await consumer.info();
      const found: T[] = [];
      if (pending > 0) {
        for await (const message of await consumer.fetch({ max_messages: pending, expires: 2000 })) {
          found.push(decode(channel.schema, message.data, message.subject));
        }
      }
      await consumer.delete().catch(() => {});
      return found.slice(-limit);
    } catch (error) {
      throw storageError(`reading ${subject}`, error);
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

  async #settle<T>(
    channel: Channel<T>,
    message: JsMsg,
    handle: (message: T, delivery: Delivery) => Promise<Verdict>,
  ): Promise<void> {
    const working = setInterval(() => message.working(), WORKING_MS);
    const deliveries = message.info.deliveryCount;
    try {
      let value: T;
      try {
        value = decode(channel.schema, message.data, message.subject);
      } catch (error) {
        await this.#bury(message, messageOf(error), deliveries);
        return;
      }
      const verdict = await handle(value, { subject: message.subject, deliveries });
      if (verdict === "done") message.ack();
      else if (deliveries >= MAX_DELIVERIES) await this.#bury(message, "it was tried too often", deliveries);
      else message.nak(retryPauseMs(deliveries));
    } catch (error) {
      this.#log.error({ error, subject: message.subject, deliveries }, "handling a message failed");
      if (deliveries >= MAX_DELIVERIES)
        await this.#bury(message, messageOf(error), deliveries).catch(() => {});
      else message.nak(retryPauseMs(deliveries));
    } finally {
      clearInterval(working);
    }
  }

  /** Keeps what can't be handled where a person can look at it, and goes on. */
  async #bury(message: JsMsg, reason: string, deliveries: number): Promise<void> {
    this.#log.warn({ subject: message.subject, reason, deliveries }, "a message went to the dead letters");
    await this.publish(deadLetters, {
      subject: message.subject,
      reason,
      deliveries,
      at: new Date().toISOString(),
      payload: textOf(message.data),
    });
    message.term(reason);
  }
}
