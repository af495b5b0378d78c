// What stands in a bucket under some of its keys, read once.
import type { JetStreamManager } from "nats";
import { subjectOfKey } from "../codec.ts";
import { type FeedEntry, openFeed } from "./bucket-feed.ts";
import type { ReconnectingConnection } from "./connection.ts";

export interface KeysOptions {
  readonly bucket: { readonly name: string };
  /** The keys that are told, by NATS's wildcards. */
  readonly filter: string;
  /** Tells no values, only which keys there are: whatever isn't a mark is empty. */
  readonly keysOnly?: boolean;
}

/** The newest entry of each key, the marks of removed ones too, as many as the leader of the bucket knows of. */
export async function readKeys(
  link: ReconnectingConnection,
  manager: JetStreamManager,
  { bucket, filter, keysOnly = false }: KeysOptions,
): Promise<FeedEntry[]> {
  const subjects = subjectOfKey(bucket, filter);
  const found = new Map<string, FeedEntry>();
  const options = { bucket: bucket.name, subjects, keysOnly };
  const feed = await openFeed(link, manager, options, (entry) => found.set(entry.key, entry));
  feed.stop();
  return [...found.values()];
}
