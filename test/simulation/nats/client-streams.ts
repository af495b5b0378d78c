// Streams for one client of the memory server.
import type {
  Ack,
  ConsumeOptions,
  Delivery,
  ReadOptions,
  Stop,
  Stored,
  Streams,
} from "../../../libs/bus/bus.ts";
import { decodeMessage, encode } from "../../../libs/bus/codec.ts";
import { storageErrorOf } from "../../../libs/bus/jetstream-errors.ts";
import { pickStream } from "../../../libs/bus/overflow.ts";
import type { Channel } from "../../../libs/contracts/streams.ts";
import type { StoredMessage } from "./consumer.ts";
import type { Consuming } from "./consuming.ts";
import { apiCode } from "./replication.ts";
import type { Requests } from "./requests.ts";
import { type MemoryWorld, streamOf } from "./shared.ts";
import { readOnce } from "./values.ts";

export class MemoryStreams implements Streams {
  readonly #world: MemoryWorld;
  readonly #requests: Requests;
  readonly #consuming: Consuming;

  constructor(world: MemoryWorld, requests: Requests, consuming: Consuming) {
    this.#world = world;
    this.#requests = requests;
    this.#consuming = consuming;
  }

  async publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }> {
    const subject = channel.subjectOf(message);
    const id = channel.idOf(message);
    const data = encode(message);
    const channelFor = pickStream(channel);
    const doing = `storing ${subject}`;
    const store = (triedMs: number) => {
      const picked = channelFor(triedMs);
      const stream = streamOf(this.#world, picked);
      return {
        isLeaderless: () => stream.isLeaderless(),
        atServer: () => stream.append(picked.subjectOf(message), data, id),
      };
    };
    try {
      return await this.#requests.send(doing, store, { isWrite: true, isIdempotent: id !== undefined });
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
  }

  consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Ack>,
  ): Promise<Stop> {
    const stream = streamOf(this.#world, channel);
    return this.#consuming.consume({
      stream: channel.stream,
      decode: ({ data, subject }) => readOnce(data, channel, () => decodeMessage(channel, data, subject)),
      options,
      handle,
      isLeaderless: () => stream.isLeaderless(),
      consumer: () => stream.consumer(options.durable, channel.subjects),
    });
  }

  async read<T>(channel: Channel<T>, options: ReadOptions): Promise<Stored<T>[]> {
    const { subject = ">", from = 1, to = Number.POSITIVE_INFINITY, limit, order } = options;
    const stream = streamOf(this.#world, channel);
    const messages = await this.#requests.read(`reading ${options.subject ?? channel.stream}`, () =>
      stream.matching(subject, from - 1),
    );
    const inRange = messages.filter(({ sequence }) => sequence <= to);
    if (order === "newest-first") inRange.reverse();
    return inRange.flatMap((message) => decoded(channel, message) ?? []).slice(0, limit);
  }

  async lastSequence<T>(channel: Channel<T>, subject: string): Promise<number> {
    const stream = streamOf(this.#world, channel);
    const last = () => stream.matching(subject).at(-1)?.sequence ?? 0;
    return this.#requests.read(`reading the newest message on ${subject}`, last);
  }
}

function decoded<T>(channel: Channel<T>, { sequence, subject, data }: StoredMessage): Stored<T> | undefined {
  try {
    return { sequence, message: decodeMessage(channel, data, subject) };
  } catch {
    return undefined;
  }
}
