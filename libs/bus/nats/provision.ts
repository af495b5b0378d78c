// Makes the streams and buckets there are to be, the same from whichever process comes first.
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

/** The client's types are older than the server's marks that go by themselves (NATS ADR-43). */
type Config = Partial<StreamConfig> & { name: string; allow_msg_ttl?: boolean };

const streamOf = (channel: Channel<never>, replicas: number): Config => ({
  name: channel.stream,
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
  // The mark of a removed key goes by itself.
  allow_msg_ttl: true,
  // A direct get may be answered by a replica that is behind.
  allow_direct: false,
  duplicate_window: nanos(bucket.ttlMs === undefined ? 120_000 : Math.min(bucket.ttlMs, 120_000)),
});

/**
 * Creates what is missing. What is there stays as an operator set it, but for the number of copies: it grows to
 * what is asked for. It never shrinks by itself, since a process that was started without the setting would
 * else take the copies away from all others.
 */
export async function provision(manager: JetStreamManager, replicas: number, log: Log): Promise<void> {
  const wanted = [
    ...allChannels.map((channel) => streamOf(channel, replicas)),
    ...allBuckets.map((bucket) => bucketOf(bucket, replicas)),
  ];
  const ampler: string[] = [];
  for (const config of wanted) {
    const standing = await createIfMissing(manager, config);
    const { num_replicas: present } = standing;
    await allow(manager, config, standing);
    if (present < replicas) {
      await manager.streams.update(config.name, { num_replicas: replicas });
      log.info({ stream: config.name, from: present, to: replicas }, "a stream is given more copies");
    } else if (present > replicas) ampler.push(`${config.name} (${present})`);
  }
  if (ampler.length === 0) return;
  log.info(
    `GREENROOM_REPLICAS is ${replicas}, but these keep more copies and stay so: ${ampler.join(", ")}. ` +
      `To take copies away on purpose: nats stream edit <name> --replicas=${replicas}`,
  );
}

/**
 * What a store of an earlier version doesn't allow and this one needs: marks that go by themselves, which can't be taken
 * back and harm nobody, and reads from any replica, without which whoever scans would find nobody to ask.
 */
async function allow(manager: JetStreamManager, wanted: Config, standing: Config): Promise<void> {
  const missing: Partial<Config> = {};
  if (wanted.allow_msg_ttl === true && standing.allow_msg_ttl !== true) missing.allow_msg_ttl = true;
  if (wanted.allow_direct === true && standing.allow_direct !== true) missing.allow_direct = true;
  if (Object.keys(missing).length > 0) await manager.streams.update(wanted.name, missing);
}

/** @returns it as it stands */
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
      // Another process was faster; anything else shows when it is looked at again.
      return await look().catch(() => {
        throw addError;
      });
    }
  }
}
