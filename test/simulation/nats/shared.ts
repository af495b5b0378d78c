// State shared by all clients of one memory server.

import type { Keys } from "../../../libs/bus/compare-and-set.ts";
import type { Bucket } from "../../../libs/contracts/buckets.ts";
import type { DeadLetter } from "../../../libs/contracts/fleet/pool.ts";
import type { Channel } from "../../../libs/contracts/streams.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { MemoryBucket } from "./buckets.ts";
import type { Answering, Subscriptions } from "./core.ts";
import type { Fates } from "./faults.ts";
import type { MemoryStream } from "./streams.ts";

/** Stores a dead letter. */
export type DeadLettering = (letter: DeadLetter) => Promise<unknown>;

export interface MemoryWorld {
  readonly clock: Clock;
  readonly fates: Fates;
  readonly log: Log;
  readonly streams: ReadonlyMap<string, MemoryStream>;
  readonly buckets: ReadonlyMap<string, MemoryBucket>;
  readonly listeners: Subscriptions<(data: Uint8Array) => void>;
  readonly answerers: Subscriptions<Answering>;
  /** Wraps the key operations of a compare-and-set: where a test plants a bug. */
  readonly changeKeys: (keys: Keys) => Keys;
  /** Wraps the storing of a dead letter. */
  readonly changeDeadLettering: (deadLetter: DeadLettering) => DeadLettering;
}

export function streamOf<T>(world: MemoryWorld, channel: Channel<T>): MemoryStream {
  const stream = world.streams.get(channel.stream);
  if (stream === undefined) throw new Error(`There is no stream ${channel.stream}: add it to allChannels.`);
  return stream;
}

export function bucketOf<T>(world: MemoryWorld, bucket: Bucket<T>): MemoryBucket {
  const found = world.buckets.get(bucket.name);
  if (found === undefined) throw new Error(`There is no bucket ${bucket.name}: add it to allBuckets.`);
  return found;
}
