// Reads the entries of a bucket once, filtered by key.
import type { JetStreamManager } from "nats";
import { subjectOfKey } from "../codec.ts";
import { type FeedEntry, openFeed } from "./bucket-feed.ts";
import type { ReconnectingConnection } from "./connection.ts";

export interface KeysOptions {
  readonly bucket: { readonly name: string };
  /** The keys, as a pattern with NATS's wildcards. */
  readonly filter: string;
  /** Reads keys without values: entries other than delete markers are empty. */
  readonly keysOnly?: boolean;
}

/** The newest entry of each key, including delete markers, as the bucket's leader has them. */
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
