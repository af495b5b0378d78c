// One simulated process's connection to the memory server: the bus as a service on NATS would see it.

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
} from "../../../libs/bus/bus.ts";
import { decode, decodeChange, decodeMessage, encode } from "../../../libs/bus/codec.ts";
import { storageErrorOf } from "../../../libs/bus/jetstream-errors.ts";
import { overflowFilter, pickStream } from "../../../libs/bus/overflow.ts";
import type { Bucket } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
import {
  allChannels,
  type Channel,
  type Command,
  deadLetters,
  type Topic,
} from "../../../libs/contracts/streams.ts";
import type { Link } from "./connection.ts";
import type { StoredMessage } from "./consumer.ts";
import { type SharedWork, takeFrom } from "./consuming.ts";
import { apiCode } from "./replication.ts";
import { Asking } from "./requests.ts";
import { bucketOf, type MemoryWorld, streamOf } from "./shared.ts";
import { MemoryStore, recordOf } from "./store.ts";
import { readOnce } from "./values.ts";

/** A client of the memory server. Only its connection is simulated: the process's own timers go on. */
export interface MemoryClient extends Bus {
  readonly name: string;
  /** As `kill -9`: nothing that it says arrives, no call of it comes back, and it hears nothing, for ever. */
  crash(): void;
  /** As SIGSTOP: all it says and hears waits. After 20 s its subscriptions are gone until it resumes. */
  pause(): void;
  resume(): void;
  /** Parts it from the server, as a pulled cable does; calls end in time-outs. */
  cut(): void;
  heal(): void;
}

export class MemoryBus implements MemoryClient {
  readonly #world: MemoryWorld;
  readonly #link: Link;
  readonly #asking: Asking;
  readonly #store: MemoryStore;

  constructor(world: MemoryWorld, link: Link) {
    this.#world = world;
    this.#link = link;
    this.#asking = new Asking(world, link);
    this.#store = new MemoryStore(world, link, this.#asking);
  }

  get name(): string {
    return this.#link.name;
  }

  async publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }> {
    const subject = channel.subjectOf(message);
    const id = channel.idOf(message);
    const data = encode(message);
    const takerFor = pickStream(channel);
    const doing = `storing ${subject}`;
    const store = (triedMs: number) => {
      const taker = takerFor(triedMs);
      const stream = streamOf(this.#world, taker);
      return {
        isLeaderless: () => stream.isLeaderless(),
        atServer: () => stream.append(taker.subjectOf(message), data, id),
      };
    };
    try {
      return await this.#asking.ask(doing, store, { isWrite: true, mayRepeat: id !== undefined });
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
  }

  consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop> {
    const stream = streamOf(this.#world, channel);
    return this.#take({
      stream: channel.stream,
      read: ({ data, subject }) => readOnce(data, channel, () => decodeMessage(channel, data, subject)),
      options,
      handle,
      isLeaderless: () => stream.isLeaderless(),
      consumer: () => stream.consumer(options.durable, channel.subjects),
    });
  }

  follow<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop> {
    return this.#take({
      stream: `KV_${bucket.name}`,
      read: (message) => decodeChange(bucket, message, recordOf),
      options,
      handle,
      isLeaderless: () => this.#world.fates.faults().leaderless,
      consumer: () => bucketOf(this.#world, bucket).consumer(options.durable),
    });
  }

  async purge(store: AnyStore, filter: string): Promise<number> {
    if (!("stream" in store)) return this.#store.purge(store, filter);
    const { overflow: relief } = store;
    const relieved =
      relief === undefined ? 0 : await this.purge(relief, overflowFilter(store, relief, filter));
    return relieved + (await this.#purgeStream(store, filter));
  }

  async erase<T>(channel: Channel<T>, sequence: number): Promise<boolean> {
    const stream = streamOf(this.#world, channel);
    const doing = `erasing the message ${sequence} of ${channel.stream}`;
    const next = () => ({
      isLeaderless: () => stream.isLeaderless(),
      atServer: () => stream.erase(sequence),
    });
    try {
      return await this.#asking.ask(doing, next, { isWrite: true, mayRepeat: true });
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
  }

  async #purgeStream<T>(channel: Channel<T>, filter: string): Promise<number> {
    const stream = streamOf(this.#world, channel);
    const doing = `purging ${filter}`;
    const next = () => ({ isLeaderless: () => stream.isLeaderless(), atServer: () => stream.purge(filter) });
    try {
      return await this.#asking.ask(doing, next, { isWrite: true, mayRepeat: true });
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
  }

  async recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]> {
    const stream = streamOf(this.#world, channel);
    const messages = await this.#asking.read(`reading ${subject}`, () => stream.matching(subject));
    return messages.flatMap((message) => read(channel, message)?.message ?? []).slice(-limit);
  }

  /** Sizes are not bounded in memory: it is full, or not at all. */
  async usageRatio(store: AnyStore): Promise<number> {
    const name = "stream" in store ? store.stream : store.name;
    return this.#asking.read(`asking how full ${name} is`, () => (this.#world.fates.faults().full ? 1 : 0));
  }

  /** Nobody counts here who has taken what: what was said is all that is told. */
  async storageStats(): Promise<StorageStats[]> {
    return this.#asking.read("asking how the stores stand", () =>
      allChannels.map((channel) => ({
        name: channel.stream,
        messages: streamOf(this.#world, channel).matching(">").length,
        bytes: 0,
        maxBytes: channel.maxBytes,
        consumers: [],
      })),
    );
  }

  async page<T>(channel: Channel<T>, { limit, before = Infinity }: PageOptions): Promise<Stored<T>[]> {
    const stream = streamOf(this.#world, channel);
    const messages = await this.#asking.read(`reading ${channel.stream}`, () => stream.matching(">"));
    return messages
      .filter(({ sequence }) => sequence < before)
      .reverse()
      .flatMap((message) => read(channel, message) ?? [])
      .slice(0, limit);
  }

  async lastSequence<T>(channel: Channel<T>, subject: string): Promise<number> {
    const stream = streamOf(this.#world, channel);
    const last = () => stream.matching(subject).at(-1)?.sequence ?? 0;
    return this.#asking.read(`looking for the newest of ${subject}`, last);
  }

  async scan<T>(channel: Channel<T>, { subject, after, limit }: ScanOptions): Promise<Stored<T>[]> {
    const stream = streamOf(this.#world, channel);
    const messages = await this.#asking.read(`scanning ${subject}`, () => stream.matching(subject, after));
    return messages.flatMap((message) => read(channel, message) ?? []).slice(0, limit);
  }

  publishTransient<T>(topic: Topic<T>, message: T): void {
    const data = encode(message);
    const { fates, listeners } = this.#world;
    this.#link.send(() => {
      for (const { link, call } of listeners.on(topic.subject)) {
        if (!fates.strikes("drop")) link.deliver(() => call(data));
      }
    });
  }

  async subscribe<T>(topic: Topic<T>, hear: (message: T) => void): Promise<Stop> {
    const call = (data: Uint8Array) => {
      try {
        hear(readOnce(data, topic.schema, () => decode(topic.schema, data, topic.subject)));
      } catch (error) {
        this.#world.log.warn({ error, subject: topic.subject }, "an announcement could not be used");
      }
    };
    return this.#subscribe((isOpen) =>
      this.#world.listeners.add(topic.subject, this.#link, (data) => {
        if (isOpen()) call(data);
      }),
    );
  }

  async request<Q, A>(command: Command<Q, A>, host: string, question: Q): Promise<A> {
    const subject = command.subjectOf(host);
    const reply = await this.#asking.host(subject, encode(question), command.timeoutMs);
    if ("failed" in reply) throw new GreenroomError("internal", `${subject} failed: ${reply.failed}`);
    try {
      return decode(command.answer, reply.answer, `the answer of ${subject}`);
    } catch (error) {
      throw new GreenroomError("internal", messageOf(error), { cause: error });
    }
  }

  async serve<Q, A>(
    command: Command<Q, A>,
    host: string,
    answer: (question: Q) => Promise<A>,
    { queue }: ServeOptions = {},
  ): Promise<Stop> {
    const subject = command.subjectOf(host);
    const running = new Set<Promise<unknown>>();
    const reply = async (data: Uint8Array) => {
      try {
        return { answer: encode(await answer(decode(command.request, data, subject))) };
      } catch (error) {
        this.#world.log.error({ error, subject }, "a command failed");
        return { failed: messageOf(error) };
      }
    };
    const unsubscribe = await this.#subscribe((isOpen) => {
      const answerOne = (data: Uint8Array) => {
        // Unsubscribed while the question travelled: nobody hears it.
        if (!isOpen()) return new Promise<never>(() => {});
        const work = reply(data).finally(() => running.delete(work));
        running.add(work);
        return work;
      };
      return this.#world.answerers.add(subject, this.#link, answerOne, queue);
    });
    return async () => {
      await unsubscribe();
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

  /** Which streams lose their leaders is for the faults to say. */
  async rebalanceLeaders(): Promise<void> {}

  isConnected(): boolean {
    return this.#link.knowsItIsConnected();
  }

  async close(): Promise<void> {
    this.#link.close();
  }

  crash(): void {
    this.#link.crash();
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }

  cut(): void {
    this.#link.cut();
  }

  heal(): void {
    this.#link.heal();
  }

  #take<T>(work: Omit<SharedWork<T>, "bury">): Promise<Stop> {
    const bury = this.#world.changeBury((letter) => this.publish(deadLetters, letter));
    return takeFrom(this.#world, this.#link, this.#asking, { ...work, bury });
  }

  /** As on NATS, nobody waits for the server to know of it; a lost one is said again. */
  async #subscribe(add: (isOpen: () => boolean) => () => void): Promise<Stop> {
    let isOpen = true;
    let remove = () => {};
    this.#link.send(() => {
      if (isOpen) remove = add(() => isOpen);
    }, true);
    return async () => {
      isOpen = false;
      this.#link.send(() => remove(), true);
    };
  }
}

function read<T>(channel: Channel<T>, { sequence, subject, data }: StoredMessage): Stored<T> | undefined {
  try {
    return { sequence, message: decodeMessage(channel, data, subject) };
  } catch {
    return undefined;
  }
}
