// What stands in a bucket under some of its keys, read once.
import type { JetStreamManager } from "nats";
import { subjectOfKey } from "./codec.ts";
import { isNotFound } from "./nats-errors.ts";
import { type FeedEntry, openFeed } from "./nats-feed.ts";
import type { NatsLink } from "./nats-link.ts";

export interface KeysOptions {
  readonly bucket: { readonly name: string };
  /** The keys that are told, by NATS's wildcards. */
  readonly filter: string;
  /** Tells no values, only which keys there are: whatever isn't a mark is empty. */
  readonly keysOnly?: boolean;
}

/** The newest entry of each key, the marks of removed ones too, as many as the leader of the bucket knows of. */
export async function readKeys(
  link: NatsLink,
  manager: JetStreamManager,
  { bucket, filter, keysOnly = false }: KeysOptions,
): Promise<FeedEntry[]> {
  const subjects = subjectOfKey(bucket, filter);
  const upTo = await newestRevision(manager, bucket, subjects);
  if (upTo === 0) return [];
  const found = new Map<string, FeedEntry>();
  const options = { bucket: bucket.name, subjects, upTo, keysOnly };
  const feed = await openFeed(link, manager, options, (entry) => found.set(entry.key, entry));
  feed.stop();
  return [...found.values()];
}

/** The newest revision that stands on some of a bucket's subjects, as its leader has it; 0 when there is none. */
async function newestRevision(
  manager: JetStreamManager,
  bucket: { readonly name: string },
  subjects: string,
): Promise<number> {
  try {
    return (await manager.streams.getMessage(`KV_${bucket.name}`, { last_by_subj: subjects })).seq;
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
}
