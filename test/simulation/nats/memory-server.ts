// NATS as a simulation plays it: one server in memory, and a client of it for each simulated process.

import { decode } from "../../../libs/bus/codec.ts";
import type { Keys } from "../../../libs/bus/compare-and-set.ts";
import { DEDUPE_MS } from "../../../libs/bus/delivery-rules.ts";
import type { Bucket } from "../../../libs/contracts/buckets.ts";
import { allChannels, type Channel } from "../../../libs/contracts/streams.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import { type Log, silentLog } from "../../../libs/runtime/log.ts";
import { createMemoryBuckets } from "./buckets.ts";
import { Link } from "./connection.ts";
import { Subscriptions } from "./core.ts";
import { createFates, type Faults, noFaults } from "./faults.ts";
import { MemoryBus, type MemoryClient } from "./memory-bus.ts";
import type { Replicas } from "./replication.ts";
import { bucketOf, type DeadLettering, type MemoryWorld, streamOf } from "./shared.ts";
import { MemoryStream } from "./streams.ts";
import { readOnce } from "./values.ts";

export interface MemoryServerOptions {
  readonly clock: Clock;
  /** Numbers from 0 to below 1. With a seeded one and a simulated clock, one seed gives one run. */
  readonly random: () => number;
  readonly faults?: Partial<Faults>;
  readonly log?: Log;
  /** How many servers hold each stream: they answer a compare-and-set that fails in different ways. */
  readonly replicas?: Replicas;
  /** Stands between the decisions of a compare-and-set and the server: where a test plants a bug. */
  readonly changeKeys?: (keys: Keys) => Keys;
  readonly changeDeadLettering?: (deadLetter: DeadLettering) => DeadLettering;
}

/** What a test may look at without being a client: nothing here takes time or goes wrong. */
export interface MemoryServer {
  connect(name: string): MemoryClient;
  /** Changes what goes wrong from now on; what isn't named stays as it is. */
  setFaults(faults: Partial<Faults>): void;
  /**
   * The leaders of all streams die; until `lead` none answers. What was acknowledged is kept.
   * @param overflowLeads whether those of the streams that relieve others are spared, being on another node
   */
  loseLeaders(overflowLeads?: boolean): void;
  lead(): void;
  /** No faults, and nobody cut off any more. */
  calm(): void;
  /** How often each thing went wrong so far. */
  faultCounts(): ReadonlyMap<string, number>;
  /** Every message that is stored. */
  stored<T>(channel: Channel<T>): { sequence: number; subject: string; message: T }[];
  /** Every write of a bucket that ever was, deletions (value undefined) and forgotten ones included. */
  written<T>(bucket: Bucket<T>): { key: string; revision: number; value: T | undefined }[];
  /** What stands in a bucket now. */
  entries<T>(bucket: Bucket<T>): { key: string; revision: number; value: T }[];
  /** What a durable consumer has not done yet. */
  backlog<T>(channel: Channel<T>, durable: string): { pending: number; unacked: number };
}

/** A server with every stream and bucket of the contracts, all of them empty. */
export function createMemoryServer(options: MemoryServerOptions): MemoryServer {
  const { clock, random, log = silentLog, replicas = 1 } = options;
  let faults: Faults = { ...noFaults, ...options.faults };
  const fates = createFates(random, () => faults);
  const clients: MemoryBus[] = [];
  const world: MemoryWorld = {
    clock,
    fates,
    log,
    streams: new Map(
      allChannels.map((channel) => [
        channel.stream,
        new MemoryStream(channel, replicas, clock, fates, DEDUPE_MS),
      ]),
    ),
    buckets: createMemoryBuckets(replicas, clock, fates),
    listeners: new Subscriptions(),
    answerers: new Subscriptions(),
    changeKeys: options.changeKeys ?? ((keys) => keys),
    changeDeadLettering: options.changeDeadLettering ?? ((deadLetter) => deadLetter),
  };
  const logs = () => [...world.streams.values(), ...world.buckets.values()];
  const lead = () => {
    faults = { ...faults, leaderless: false, overflowLeads: false };
    for (const each of logs()) each.leads();
  };
  return {
    connect(name) {
      const client = new MemoryBus(world, new Link(name, clock, fates));
      clients.push(client);
      return client;
    },
    setFaults(changed) {
      faults = { ...faults, ...changed };
    },
    loseLeaders(overflowLeads = false) {
      faults = { ...faults, leaderless: true, overflowLeads };
      for (const each of world.buckets.values()) each.loseLeader();
      for (const each of world.streams.values()) if (each.isLeaderless()) each.loseLeader();
    },
    lead,
    faultCounts: () => fates.counts,
    calm() {
      faults = noFaults;
      lead();
      for (const client of clients) client.heal();
    },
    stored: (channel) =>
      streamOf(world, channel)
        .matching(">")
        .map(({ sequence, subject, data }) => ({
          sequence,
          subject,
          message: readOnce(data, channel.schema, () => decode(channel.schema, data, subject)),
        })),
    written: (bucket) =>
      bucketOf(world, bucket)
        .everything()
        .map(({ key, revision, data }) => ({
          key,
          revision,
          value:
            data === undefined
              ? undefined
              : readOnce(data, bucket.schema, () => decode(bucket.schema, data, key)),
        })),
    entries: (bucket) =>
      bucketOf(world, bucket)
        .snapshot()
        .flatMap(({ key, revision, data }) =>
          data === undefined
            ? []
            : [
                {
                  key,
                  revision,
                  value: readOnce(data, bucket.schema, () => decode(bucket.schema, data, key)),
                },
              ],
        ),
    backlog(channel, durable) {
      const consumer = streamOf(world, channel).consumer(durable, channel.subjects);
      return { pending: consumer.pending(), unacked: consumer.unacked() };
    },
  };
}
