// Removes stored data: subjects of a stream at once, keys of a bucket one by one.
import type { JetStreamManager } from "nats";
import type { Bucket } from "../../contracts/buckets.ts";
import type { Channel } from "../../contracts/streams.ts";
import { subjectOfKey } from "../codec.ts";
import { STORE_TIMEOUT_MS } from "../delivery-rules.ts";
import { overflowFilter } from "../overflow.ts";
import type { JetStream } from "./connection.ts";
import { deleteMarkerHeaders } from "./delete-markers.ts";
import { readKeys } from "./read-keys.ts";

/** Keys that are purged at the same time. */
const CONCURRENCY = 64;

/** @returns the number of messages removed */
export async function purgeStream<T>(
  { link }: JetStream,
  channel: Channel<T>,
  filter: string,
): Promise<number> {
  // The server answers when everything is gone, which may take longer than other requests.
  const manager = await link.connection.jetstreamManager({ timeout: STORE_TIMEOUT_MS, checkAPI: false });
  const purge = async (stream: string, subjects: string) => {
    const work = () => manager.streams.purge(stream, { filter: subjects });
    return (await link.ask(`purging ${subjects}`, work, true)).purged;
  };
  // The overflow stream first: messages that it still forwards reach the stream before that is purged.
  const { overflow } = channel;
  const overflowing =
    overflow === undefined ? 0 : await purge(overflow.stream, overflowFilter(channel, overflow, filter));
  return overflowing + (await purge(channel.stream, filter));
}

/**
 * Removes key by key: a purge of the bucket's stream writes no delete markers, so watchers would never learn what is gone.
 *
 * @returns the number of revisions removed
 */
export async function purgeKeys<T>(
  { link, js, manager }: JetStream,
  bucket: Bucket<T>,
  filter: string,
): Promise<number> {
  const doing = `purging ${bucket.name}/${filter}`;
  const entries = await link.ask(
    doing,
    () => readKeys(link, manager, { bucket, filter, keysOnly: true }),
    true,
  );
  if (entries.length === 0) return 0;
  const revisions = await link.ask(doing, () => revisionsOf(manager, bucket, filter), true);
  const wanted: string[] = [];
  let gone = 0;
  for (const { key, data } of entries) {
    const count = revisions.get(key) ?? 0;
    // A delete marker alone: the key is gone already.
    if (data === undefined && count <= 1) continue;
    wanted.push(key);
    gone += Math.max(count, 1);
  }
  const purgeNext = async (): Promise<void> => {
    for (let key = wanted.pop(); key !== undefined; key = wanted.pop()) {
      const subject = subjectOfKey(bucket, key);
      await link.ask(doing, () => js.publish(subject, undefined, { headers: deleteMarkerHeaders() }), true);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, purgeNext));
  return gone;
}

/** The number of stored revisions of each key, delete markers included. */
async function revisionsOf<T>(
  manager: JetStreamManager,
  bucket: Bucket<T>,
  filter: string,
): Promise<Map<string, number>> {
  const subjects = subjectOfKey(bucket, filter);
  const { state } = await manager.streams.info(`KV_${bucket.name}`, { subjects_filter: subjects });
  const prefix = subjectOfKey(bucket, "").length;
  return new Map(
    Object.entries(state.subjects ?? {}).map(([subject, count]) => [subject.slice(prefix), count]),
  );
}
