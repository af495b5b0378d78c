// Removing what is stored: subjects of a stream at once, keys of a bucket one by one.
import type { JetStreamClient, JetStreamManager } from "nats";
import type { Bucket } from "../../contracts/buckets.ts";
import type { Channel } from "../../contracts/streams.ts";
import { subjectOfKey } from "../codec.ts";
import { STORE_TIMEOUT_MS } from "../delivery-rules.ts";
import { overflowFilter } from "../overflow.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { deleteMarkerHeaders } from "./delete-markers.ts";
import { readKeys } from "./read-keys.ts";

/** Keys that are purged at the same time. */
const SIDE_BY_SIDE = 64;

export interface Purging {
  readonly link: ReconnectingConnection;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
}

/** @returns how many messages went */
export async function purgeStream<T>(
  { link }: Purging,
  channel: Channel<T>,
  filter: string,
): Promise<number> {
  // It answers when all is gone, and that may take longer than other questions.
  const manager = await link.connection.jetstreamManager({ timeout: STORE_TIMEOUT_MS, checkAPI: false });
  const purge = async (stream: string, subjects: string) => {
    const work = () => manager.streams.purge(stream, { filter: subjects });
    return (await link.ask(`purging ${subjects}`, work, true)).purged;
  };
  // The relief first: what it hands on meanwhile is in the stream when that is purged.
  const { overflow: relief } = channel;
  const relieved =
    relief === undefined ? 0 : await purge(relief.stream, overflowFilter(channel, relief, filter));
  return relieved + (await purge(channel.stream, filter));
}

/**
 * The stream of a bucket isn't purged by its subjects: that writes no marks, so whoever watches would see what is
 * gone for as long as its process lives.
 *
 * @returns how many revisions went
 */
export async function purgeKeys<T>(purging: Purging, bucket: Bucket<T>, filter: string): Promise<number> {
  const { link, js, manager } = purging;
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
    // A mark that stands alone is all that is left of a key.
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
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, purgeNext));
  return gone;
}

/** How many revisions are stored of each key, marks included. */
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
