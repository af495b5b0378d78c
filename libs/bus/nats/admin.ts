// Upkeep of streams and buckets on JetStream.
import type { StreamInfo } from "nats";
import { allBuckets } from "../../contracts/buckets.ts";
import { allChannels, type Channel } from "../../contracts/streams.ts";
import type { Admin, AnyStore, StorageStats } from "../bus.ts";
import { REQUEST_TIMEOUT_MS } from "../delivery-rules.ts";
import type { JetStream } from "./connection.ts";
import { isNotFound, storageError } from "./errors.ts";
import { purgeKeys, purgeStream } from "./purge.ts";

export class NatsAdmin implements Admin {
  readonly #jetstream: JetStream;

  constructor(jetstream: JetStream) {
    this.#jetstream = jetstream;
  }

  purge(store: AnyStore, filter: string): Promise<number> {
    return "stream" in store
      ? failingAs(`purging ${filter}`, () => purgeStream(this.#jetstream, store, filter))
      : failingAs(`purging ${store.name}/${filter}`, () => purgeKeys(this.#jetstream, store, filter));
  }

  deleteMessage<T>({ stream }: Channel<T>, sequence: number): Promise<boolean> {
    const { link, manager } = this.#jetstream;
    const doing = `deleting message ${sequence} of ${stream}`;
    const exists = () =>
      link
        .ask(doing, () => manager.streams.getMessage(stream, { seq: sequence }), true)
        .then(
          () => true,
          (error: unknown) => {
            if (isNotFound(error)) return false;
            throw error;
          },
        );
    return failingAs(doing, async () => {
      if (!(await exists())) return false;
      try {
        return await link.ask(doing, () => manager.streams.deleteMessage(stream, sequence, true), true);
      } catch (error) {
        // Another process was faster, or the answer was lost: either way the message is gone.
        if (!(await exists())) return true;
        throw error;
      }
    });
  }

  usageRatio(store: AnyStore): Promise<number> {
    const name = "stream" in store ? store.stream : `KV_${store.name}`;
    return failingAs(`asking for the size of ${name}`, async () => {
      const { config, state } = await this.#jetstream.manager.streams.info(name);
      return config.max_bytes > 0 ? state.bytes / config.max_bytes : 0;
    });
  }

  storageStats(): Promise<StorageStats[]> {
    const doing = "asking for the sizes of all streams";
    return failingAs(doing, () => this.#jetstream.link.ask(doing, () => this.#storageStats(), true));
  }

  /**
   * Moves the leader of an overflow stream away from its stream's, so that the death of one node does not take both.
   * A move takes some milliseconds. A single server has nothing to move, and several processes may try at once.
   */
  async rebalanceLeaders(): Promise<void> {
    const { link, manager, log } = this.#jetstream;
    for (const { stream, overflow } of allChannels) {
      if (overflow === undefined) continue;
      const [own, other] = await Promise.all([
        manager.streams.info(stream),
        manager.streams.info(overflow.stream),
      ]);
      const leader = own.cluster?.leader;
      if (leader === undefined || leader === "" || other.cluster?.leader !== leader) continue;
      const replica = readyReplica(other);
      if (replica === undefined) continue; // The other nodes are away or behind: the next call tries again.
      const request = JSON.stringify({ placement: { preferred: replica } });
      await link.connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${overflow.stream}`, request, {
        timeout: REQUEST_TIMEOUT_MS,
      });
      log.info(
        { stream: overflow.stream, from: leader, to: replica },
        "moved the leader of an overflow stream",
      );
    }
  }

  /** All streams come in one answer, so only those with consumers cost another request. */
  async #storageStats(): Promise<StorageStats[]> {
    const found: StorageStats[] = [];
    for await (const { config, state } of this.#jetstream.manager.streams.list()) {
      const name = ownStores.get(config.name);
      if (name === undefined) continue;
      found.push({
        name,
        messages: state.messages,
        bytes: state.bytes,
        maxBytes: Math.max(0, config.max_bytes),
        consumers: state.consumer_count > 0 ? await this.#consumersOf(config.name) : [],
      });
    }
    return found;
  }

  async #consumersOf(stream: string): Promise<StorageStats["consumers"]> {
    const found: StorageStats["consumers"][number][] = [];
    for await (const info of this.#jetstream.manager.consumers.list(stream)) {
      const { durable_name: durable } = info.config;
      // A consumer without a name belongs to a watch or to one read, and goes with it.
      if (durable !== undefined)
        found.push({ durable, pending: info.num_pending, ackPending: info.num_ack_pending });
    }
    return found;
  }
}

const ownStores = new Map<string, string>([
  ...allChannels.map(({ stream }) => [stream, stream] as const),
  ...allBuckets.map(({ name }) => [`KV_${name}`, name] as const),
]);

const readyReplica = ({ cluster }: StreamInfo): string | undefined =>
  cluster?.replicas?.find(({ current, offline }) => current && offline !== true)?.name;

async function failingAs<R>(doing: string, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    throw storageError(doing, error);
  }
}
