// The bus on NATS: one connection, and the rules by which it is kept.
import { connect, headers, type JetStreamClient, type JetStreamManager, type NatsConnection } from "nats";
import type { Bucket } from "../../contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import { type Channel, type Command, deadLetters, type Topic } from "../../contracts/streams.ts";
import type { Log } from "../../runtime/log.ts";
import type {
  AnyStore,
  Bus,
  Change,
  ConsumeOptions,
  Delivery,
  Entry,
  PageOptions,
  ScanOptions,
  ServeOptions,
  Stop,
  StorageStats,
  Stored,
  Verdict,
} from "../bus.ts";
import { decode, encode } from "../codec.ts";
import { REQUEST_TIMEOUT_MS, STORE_TIMEOUT_MS } from "../delivery-rules.ts";
import { ReconnectingConnection } from "./connection.ts";
import { requestError, storageError } from "./errors.ts";
import { keepLeadersApart } from "./leaders.ts";
import { provision } from "./provision.ts";
import { storageStats } from "./storage-stats.ts";
import { NatsStore } from "./store.ts";
import { NatsStreams } from "./stream.ts";
import { whenReady } from "./wait-until-ready.ts";

export interface NatsBusOptions {
  readonly url: string;
  /** Shown in `nats server report connections`. */
  readonly name: string;
  readonly replicas: number;
  readonly log: Log;
  /** Called when the connection is closed for good without `close()`: the process should exit. */
  readonly onLost: (error: unknown) => void;
}

/** The header of an answer that is an error; its value says which. */
const ERROR_HEADER = "Greenroom-Error";

/**
 * Connects, waits until NATS is there, and makes what streams and buckets are missing.
 *
 * The client's defaults give up after ten reconnects and notice a dead peer after minutes; these never give
 * up and notice in seconds.
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const inboxPrefix = `_INBOX.${options.name.replace(/[^A-Za-z0-9_-]/g, "-")}`;
  const connection = await connect({
    servers: options.url.split(",").map((server) => server.trim()),
    name: options.name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    pingInterval: 1500,
    maxPingOut: 2,
    timeout: 2000,
    waitOnFirstConnect: true,
    inboxPrefix,
  });
  const js = connection.jetstream({ timeout: REQUEST_TIMEOUT_MS });
  try {
    await whenReady(() => prepare(connection, options), options.replicas, options.log);
  } catch (error) {
    await connection.close();
    throw error;
  }
  const link = new ReconnectingConnection(connection, inboxPrefix, options.log);
  return new NatsBus(
    link,
    js,
    await connection.jetstreamManager({ timeout: REQUEST_TIMEOUT_MS, checkAPI: false }),
    options,
  );
}

async function prepare(connection: NatsConnection, { replicas, log }: NatsBusOptions): Promise<void> {
  const manager = await connection.jetstreamManager({ timeout: STORE_TIMEOUT_MS });
  await provision(manager, replicas, log);
}

class NatsBus implements Bus {
  readonly #connection: NatsConnection;
  readonly #link: ReconnectingConnection;
  readonly #manager: JetStreamManager;
  readonly #streams: NatsStreams;
  readonly #store: NatsStore;
  readonly #log: Log;
  #closing = false;

  constructor(
    link: ReconnectingConnection,
    js: JetStreamClient,
    manager: JetStreamManager,
    options: NatsBusOptions,
  ) {
    this.#link = link;
    this.#connection = link.connection;
    this.#manager = manager;
    this.#log = options.log;
    this.#streams = new NatsStreams(link, js, manager, options.log);
    this.#store = new NatsStore(link, js, manager, options.log);
    void link.connection.closed().then((error) => {
      if (!this.#closing) options.onLost(error ?? new Error("NATS closed the connection"));
    });
  }

  publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }> {
    return this.#streams.publish(channel, message);
  }

  consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop> {
    return this.#streams.consume(channel, options, handle);
  }

  follow<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop> {
    return this.#store.follow(bucket, options, handle, (letter) => this.publish(deadLetters, letter));
  }

  purge(store: AnyStore, filter: string): Promise<number> {
    return "stream" in store ? this.#streams.purge(store, filter) : this.#store.purge(store, filter);
  }

  erase<T>(channel: Channel<T>, sequence: number): Promise<boolean> {
    return this.#streams.erase(channel, sequence);
  }

  recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]> {
    return this.#streams.recent(channel, subject, limit);
  }

  usageRatio(store: AnyStore): Promise<number> {
    return this.#streams.fullness(store);
  }

  storageStats(): Promise<StorageStats[]> {
    return this.#link
      .ask("asking how the stores stand", () => storageStats(this.#manager), true)
      .catch((error: unknown) => {
        throw storageError("asking how the stores stand", error);
      });
  }

  page<T>(channel: Channel<T>, options: PageOptions): Promise<Stored<T>[]> {
    return this.#streams.page(channel, options);
  }

  lastSequence<T>(channel: Channel<T>, subject: string): Promise<number> {
    return this.#streams.lastSequence(channel, subject);
  }

  scan<T>(channel: Channel<T>, options: ScanOptions): Promise<Stored<T>[]> {
    return this.#streams.scan(channel, options);
  }

  publishTransient<T>(topic: Topic<T>, message: T): void {
    // While reconnecting the client keeps it; an old announcement does no harm, a thrown error would.
    if (!this.#connection.isClosed()) this.#connection.publish(topic.subject, encode(message));
  }

  async subscribe<T>(topic: Topic<T>, hear: (message: T) => void): Promise<Stop> {
    const subscription = this.#connection.subscribe(topic.subject, {
      callback: (error, message) => {
        if (error !== null) return;
        try {
          hear(decode(topic.schema, message.data, message.subject));
        } catch (problem) {
          this.#log.warn({ error: problem, subject: message.subject }, "an announcement could not be used");
        }
      },
    });
    return async () => subscription.unsubscribe();
  }

  async request<Q, A>(command: Command<Q, A>, host: string, question: Q): Promise<A> {
    const subject = command.subjectOf(host);
    try {
      const answer = await this.#connection.request(subject, encode(question), {
        timeout: command.timeoutMs,
      });
      const failed = answer.headers?.get(ERROR_HEADER);
      if (failed) throw new GreenroomError("internal", `${subject} failed: ${failed}`);
      return decodeAnswer(command, answer.data);
    } catch (error) {
      throw requestError(subject, error);
    }
  }

  async serve<Q, A>(
    command: Command<Q, A>,
    host: string,
    answer: (question: Q) => Promise<A>,
    { queue }: ServeOptions = {},
  ): Promise<Stop> {
    const running = new Set<Promise<void>>();
    const subscription = this.#connection.subscribe(command.subjectOf(host), {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error !== null) return;
        const work = (async () => {
          try {
            message.respond(encode(await answer(decode(command.request, message.data, message.subject))));
          } catch (problem) {
            this.#log.error({ error: problem, subject: message.subject }, "a command failed");
            const failed = headers();
            failed.set(ERROR_HEADER, messageOf(problem).replace(/[\r\n]+/g, " "));
            message.respond(undefined, { headers: failed });
          }
        })().finally(() => running.delete(work));
        running.add(work);
      },
    });
    return async () => {
      subscription.unsubscribe();
      await Promise.all(running);
    };
  }

  read<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined> {
    return this.#store.read(bucket, key);
  }

  save<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined> {
    return this.#store.save(bucket, value, revision);
  }

  remove<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean> {
    return this.#store.remove(bucket, key, revision);
  }

  list<T>(bucket: Bucket<T>, filter?: string): Promise<Entry<T>[]> {
    return this.#store.list(bucket, filter);
  }

  history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]> {
    return this.#store.history(bucket, key);
  }

  watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    return this.#store.watch(bucket, see);
  }

  rebalanceLeaders(): Promise<void> {
    return keepLeadersApart(this.#connection, this.#manager, this.#log);
  }

  isConnected(): boolean {
    return this.#link.isConnected;
  }

  async close(): Promise<void> {
    this.#closing = true;
    // `drain` sends what is still in the buffer; with the server gone it would wait for it.
    if (this.#link.isConnected) await this.#connection.drain().catch(() => {});
    else await this.#connection.close();
  }
}

function decodeAnswer<Q, A>(command: Command<Q, A>, data: Uint8Array): A {
  try {
    return decode(command.answer, data, `the answer to ${command.name}`);
  } catch (error) {
    throw new GreenroomError("internal", messageOf(error), { cause: error });
  }
}
