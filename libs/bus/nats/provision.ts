// Creates the streams and buckets, whichever process starts first.
import {
  DiscardPolicy,
  type JetStreamManager,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import { allBuckets, type Bucket } from "../../contracts/buckets.ts";
import { allChannels, type Channel } from "../../contracts/streams.ts";
import type { Log } from "../../runtime/log.ts";
import { DEDUPE_MS } from "../delivery-rules.ts";
import { isNotFound } from "./errors.ts";

/** The client's types do not have the server's time to live of messages yet (NATS ADR-43). */
type Config = Partial<StreamConfig> & { name: string; allow_msg_ttl?: boolean };

const streamOf = (channel: Channel<never>, replicas: number): Config => ({
  name: channel.stream,
  description: channel.description,
  subjects: [channel.subjects],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  num_replicas: replicas,
  max_age: nanos(channel.maxAgeMs),
  max_bytes: channel.maxBytes,
  max_msgs_per_subject: channel.maxPerSubject ?? -1,
  discard: channel.discard === "refuse" ? DiscardPolicy.New : DiscardPolicy.Old,
  duplicate_window: nanos(DEDUPE_MS),
  allow_direct: channel.allowDirect ?? false,
});

/** A KV bucket is a stream by convention (NATS ADR-8). `nats kv` recognizes it by its name and subjects. */
const bucketOf = (bucket: Bucket<never>, replicas: number): Config => ({
  name: `KV_${bucket.name}`,
  description: bucket.description,
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
  // Delete markers expire.
  allow_msg_ttl: true,
  // A replica that answers a direct get may be behind.
  allow_direct: false,
  duplicate_window: nanos(bucket.ttlMs === undefined ? 120_000 : Math.min(bucket.ttlMs, 120_000)),
});

/**
 * Creates missing streams and buckets. Existing ones keep an operator's changes, except that the number of copies
 * grows. It never shrinks: a process that was started without the setting must not remove copies.
 */
export async function provision(manager: JetStreamManager, replicas: number, log: Log): Promise<void> {
  const wanted = [
    ...allChannels.map((channel) => streamOf(channel, replicas)),
    ...allBuckets.map((bucket) => bucketOf(bucket, replicas)),
  ];
  const larger: string[] = [];
  for (const config of wanted) {
    const existing = await createIfMissing(manager, config);
    const { num_replicas: present } = existing;
    await allow(manager, config, existing);
    if (present < replicas) {
      await manager.streams.update(config.name, { num_replicas: replicas });
      log.info({ stream: config.name, from: present, to: replicas }, "added copies to a stream");
    } else if (present > replicas) larger.push(`${config.name} (${present})`);
  }
  if (larger.length === 0) return;
  log.info(
    `GREENROOM_REPLICAS is ${replicas}, but these have and keep more copies: ${larger.join(", ")}. ` +
      `To remove copies: nats stream edit <name> --replicas=${replicas}`,
  );
}

/**
 * Adds what a stream of an earlier version lacks: a description, delete markers that expire, direct reads from any
 * replica, and space for larger values. Delete markers that expire can't be disabled again, and do no harm.
 */
async function allow(manager: JetStreamManager, wanted: Config, existing: Config): Promise<void> {
  const missing: Partial<Config> = {};
  if (!existing.description && wanted.description) missing.description = wanted.description;
  if (wanted.allow_msg_ttl === true && existing.allow_msg_ttl !== true) missing.allow_msg_ttl = true;
  const { max_msg_size: wantedSize = 0 } = wanted;
  const { max_msg_size: size = 0 } = existing;
  if (size > 0 && size < wantedSize) missing.max_msg_size = wantedSize;
  if (wanted.allow_direct === true && existing.allow_direct !== true) missing.allow_direct = true;
  if (Object.keys(missing).length > 0) await manager.streams.update(wanted.name, missing);
}

/** @returns the configuration of the stream */
async function createIfMissing(
  manager: JetStreamManager,
  config: Config,
): Promise<StreamConfig & { allow_msg_ttl?: boolean }> {
  const look = async () => (await manager.streams.info(config.name)).config;
  try {
    return await look();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    try {
      return (await manager.streams.add(config)).config;
    } catch (addError) {
      // Another process may have been faster.
      return await look().catch(() => {
        throw addError;
      });
    }
  }
}
