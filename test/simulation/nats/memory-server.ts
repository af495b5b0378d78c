// A simulated NATS: one server in memory, with a client for each simulated process.

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
  /** Draws numbers from 0 to below 1. With a seeded generator and a simulated clock, one seed gives one run. */
  readonly random: () => number;
  readonly faults?: Partial<Faults>;
  readonly log?: Log;
  /** The number of replicas of each stream: the answer to a failed compare-and-set depends on it. */
  readonly replicas?: Replicas;
  /** Wraps the key operations of a compare-and-set: where a test plants a bug. */
  readonly changeKeys?: (keys: Keys) => Keys;
  readonly changeDeadLettering?: (deadLetter: DeadLettering) => DeadLettering;
}

/** A test's view of the server: nothing here takes time or fails. */
export interface MemoryServer {
  connect(name: string): MemoryClient;
  /** Changes the named faults. */
  setFaults(faults: Partial<Faults>): void;
  /**
   * Kills the leaders of all streams; none answers until `lead`. Acknowledged writes are kept.
   * @param overflowLeads whether overflow streams keep their leaders, which are on another node
   */
  loseLeaders(overflowLeads?: boolean): void;
  lead(): void;
  /** Ends all faults and reconnects every client. */
  calm(): void;
  /** How often each fault has struck. */
  faultCounts(): ReadonlyMap<string, number>;
  /** Every stored message. */
  stored<T>(channel: Channel<T>): { sequence: number; subject: string; message: T }[];
  /** Every write a bucket ever had, including deletions (value undefined) and expired revisions. */
  written<T>(bucket: Bucket<T>): { key: string; revision: number; value: T | undefined }[];
  /** The current entries of a bucket. */
  entries<T>(bucket: Bucket<T>): { key: string; revision: number; value: T }[];
  /** The backlog of a durable consumer. */
  backlog<T>(channel: Channel<T>, durable: string): { pending: number; unacked: number };
}

/** Creates a server with every stream and bucket of the contracts, all of them empty. */
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
