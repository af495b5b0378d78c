// Administration of streams and buckets by one client of the memory server.
import type { Admin, AnyStore, StorageStats } from "../../../libs/bus/bus.ts";
import { storageErrorOf } from "../../../libs/bus/jetstream-errors.ts";
import { overflowFilter } from "../../../libs/bus/overflow.ts";
import type { Bucket } from "../../../libs/contracts/buckets.ts";
import { allChannels, type Channel } from "../../../libs/contracts/streams.ts";
import { apiCode } from "./replication.ts";
import type { Requests } from "./requests.ts";
import { bucketOf, type MemoryWorld, streamOf } from "./shared.ts";

export class MemoryAdmin implements Admin {
  readonly #world: MemoryWorld;
  readonly #requests: Requests;

  constructor(world: MemoryWorld, requests: Requests) {
    this.#world = world;
    this.#requests = requests;
  }

  async purge(store: AnyStore, filter: string): Promise<number> {
    if (!("stream" in store)) return this.#purgeKeys(store, filter);
    const { overflow } = store;
    const overflowing =
      overflow === undefined ? 0 : await this.purge(overflow, overflowFilter(store, overflow, filter));
    return overflowing + (await this.#writeTo(store, `purging ${filter}`, (stream) => stream.purge(filter)));
  }

  deleteMessage<T>(channel: Channel<T>, sequence: number): Promise<boolean> {
    const doing = `deleting message ${sequence} of ${channel.stream}`;
    return this.#writeTo(channel, doing, (stream) => stream.delete(sequence));
  }

  /** Sizes are not bounded in memory: a stream is either full or empty. */
  async usageRatio(store: AnyStore): Promise<number> {
    const name = "stream" in store ? store.stream : store.name;
    const doing = `getting the size of ${name}`;
    return this.#requests.read(doing, () => (this.#world.fates.faults().full ? 1 : 0));
  }

  /** Omits consumers, which the memory server doesn't count. */
  async storageStats(): Promise<StorageStats[]> {
    return this.#requests.read("getting the sizes of all streams", () =>
      allChannels.map((channel) => ({
        name: channel.stream,
        messages: streamOf(this.#world, channel).matching(">").length,
        bytes: 0,
        maxBytes: channel.maxBytes,
        consumers: [],
      })),
    );
  }

  /** Does nothing: the faults decide which streams lose their leaders. */
  async rebalanceLeaders(): Promise<void> {}

  /** Removes key by key, like NATS: a client that is cut off in between has purged a part of the keys. */
  async #purgeKeys<T>(bucket: Bucket<T>, filter: string): Promise<number> {
    const doing = `purging ${bucket.name}/${filter}`;
    const keys = bucketOf(this.#world, bucket);
    const found = await this.#requests.read(doing, () => keys.purgeable(filter));
    const purgeOne = (key: string) => this.#requests.write(doing, () => keys.purge(key), true);
    try {
      await Promise.all([...found.keys()].map(purgeOne));
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
    return [...found.values()].reduce((sum, count) => sum + count, 0);
  }

  async #writeTo<T, R>(
    channel: Channel<T>,
    doing: string,
    write: (stream: ReturnType<typeof streamOf>) => R | Promise<R>,
  ): Promise<R> {
    const stream = streamOf(this.#world, channel);
    const next = () => ({ isLeaderless: () => stream.isLeaderless(), atServer: () => write(stream) });
    try {
      return await this.#requests.send(doing, next, { isWrite: true, isIdempotent: true });
    } catch (error) {
      throw storageErrorOf(doing, error, apiCode(error));
    }
  }
}
