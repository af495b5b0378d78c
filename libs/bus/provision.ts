// Makes the streams and buckets there are to be, the same from whichever process comes first.
import {
  DiscardPolicy,
  type JetStreamManager,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import { allBuckets, type Bucket } from "../contracts/buckets.ts";
import { allChannels, type Channel } from "../contracts/channels.ts";
import { DEDUPE_MS } from "./delivery-rules.ts";
import { isNotFound } from "./nats-errors.ts";

type Config = Partial<StreamConfig> & { name: string };

const streamOf = (channel: Channel<never>, replicas: number): Config => ({
  name: channel.stream,
  subjects: [channel.subjects],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  num_replicas: replicas,
  max_age: nanos(channel.maxAgeMs),
  max_bytes: channel.maxBytes,
  max_msgs_per_subject: channel.maxPerSubject ?? -1,
  discard: channel.whenFull === "refuse" ? DiscardPolicy.New : DiscardPolicy.Old,
  duplicate_window: nanos(DEDUPE_MS),
});

/** A KV bucket is a stream by convention (NATS ADR-8); `nats kv` knows it by its name and subjects. */
const bucketOf = (bucket: Bucket<never>, replicas: number): Config => ({
  name: `KV_${bucket.name}`,
  subjects: [`$KV.${bucket.name}.>`],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  num_replicas: replicas,
  max_msgs_per_subject: bucket.history,
  max_bytes: bucket.maxBytes,
  max_msg_size: bucket.maxValueBytes,
  max_age: nanos(bucket.ttlMs ?? 0),
  discard: DiscardPolicy.New,
  allow_rollup_hdrs: true,
  deny_delete: true,
  // A direct get may be answered by a replica that is behind.
  allow_direct: false,
  duplicate_window: nanos(bucket.ttlMs === undefined ? 120_000 : Math.min(bucket.ttlMs, 120_000)),
});

/** Creates what is missing. What is there stays as an operator set it, but for the subjects. */
export async function provision(manager: JetStreamManager, replicas: number): Promise<void> {
  const wanted = [
    ...allChannels.map((channel) => streamOf(channel, replicas)),
    ...allBuckets.map((bucket) => bucketOf(bucket, replicas)),
  ];
  for (const config of wanted) await createIfMissing(manager, config);
}

async function createIfMissing(manager: JetStreamManager, config: Config): Promise<void> {
  try {
    await manager.streams.info(config.name);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    try {
      await manager.streams.add(config);
    } catch (addError) {
      // Another process was faster; anything else shows when it is looked at again.
      await manager.streams.info(config.name).catch(() => {
        throw addError;
      });
    }
  }
}
