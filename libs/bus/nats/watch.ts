// Watches KV buckets on JetStream, across reconnections and deaths of servers.
import type { JetStreamManager, StoredMsg } from "nats";
import type { Bucket } from "../../contracts/buckets.ts";
import type { Log } from "../../runtime/log.ts";
import type { Change, Stop } from "../bus.ts";
import { decodeRecord, keyOfSubject, subjectOfKey } from "../codec.ts";
import { type Feed, type FeedEntry, openFeed } from "./bucket-feed.ts";
import type { JetStream, ReconnectingConnection } from "./connection.ts";
import { isDeleteMarker } from "./delete-markers.ts";
import { isNotFound } from "./errors.ts";

/** The pause before a watch is restarted. */
const REWATCH_MS = 250;

const pause = () => new Promise((resolve) => setTimeout(resolve, REWATCH_MS));

export class NatsWatches {
  readonly #link: ReconnectingConnection;
  readonly #manager: JetStreamManager;
  readonly #log: Log;

  constructor({ link, manager, log }: JetStream) {
    this.#link = link;
    this.#manager = manager;
    this.#log = log;
  }

  /**
   * A feed ends with its server or connection, so one follows another until stopped. Keys that vanished in between are
   * reported as deleted, so that a cache never keeps a removed key.
   */
  async watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    const view = new View(bucket, see, this.#log);
    let stopped = false;
    const isOver = () => stopped || this.#link.connection.isClosed();
    let current = await this.#link.ask(`watching ${bucket.name}`, () => this.#open(view), true);
    const keepWatching = async () => {
      for (;;) {
        const reason = await current.ended;
        if (isOver()) return;
        this.#log.info({ reason: reason?.message, bucket: bucket.name }, "restarting a watch");
        const next = await this.#openAgain(view, isOver);
        if (next === undefined) return;
        current = next;
        if (isOver()) current.stop();
      }
    };
    void keepWatching();
    return async () => {
      stopped = true;
      current.stop();
      await current.ended;
    };
  }

  async #open<T>(view: View<T>): Promise<Feed> {
    const { state } = await this.#manager.streams.info(`KV_${view.bucket.name}`);
    view.beginList(state.last_seq);
    const options = { bucket: view.bucket.name, subjects: subjectOfKey(view.bucket, ">") };
    const feed = await openFeed(this.#link, this.#manager, options, (entry) => view.take(entry));
    view.endList();
    return feed;
  }

  /** Retries until it works; undefined when stopped before. */
  async #openAgain<T>(view: View<T>, isOver: () => boolean): Promise<Feed | undefined> {
    while (!isOver()) {
      if (this.#link.isConnected) {
        const feed = await this.#open(view).catch((error: unknown) => {
          this.#log.debug({ error, bucket: view.bucket.name }, "failed to restart a watch");
        });
        if (feed !== undefined) return feed;
        await this.#readOn(view).catch(() => {});
      }
      await pause();
    }
    return undefined;
  }

  /**
   * Reads the changes one by one. This needs the bucket's leader only, while a consumer also needs the cluster's leader.
   * During an election of the cluster, changes of buckets with a leader are therefore still seen.
   */
  async #readOn<T>(view: View<T>): Promise<void> {
    const stream = `KV_${view.bucket.name}`;
    const subjects = subjectOfKey(view.bucket, ">");
    for (;;) {
      let stored: StoredMsg;
      try {
        // The client's types allow only one of these fields at a time.
        const query = { seq: view.lastRevision + 1, next_by_subj: subjects };
        stored = await this.#manager.streams.getMessage(stream, query as { seq: number });
      } catch (error) {
        if (isNotFound(error)) return;
        throw error;
      }
      const key = keyOfSubject(view.bucket, stored.subject);
      view.take({ key, revision: stored.seq, data: isDeleteMarker(stored.header) ? undefined : stored.data });
    }
  }
}

/** Remembers what a watcher has received, so that a restarted list reports new changes only. */
class View<T> {
  readonly bucket: Bucket<T>;
  readonly #see: (change: Change<T>) => void;
  readonly #log: Log;
  readonly #known = new Map<string, number>();
  #lastRevision = 0;
  #listed: { readonly before: Map<string, number>; readonly seen: Set<string>; upTo: number } | undefined;

  constructor(bucket: Bucket<T>, see: (change: Change<T>) => void, log: Log) {
    this.bucket = bucket;
    this.#see = see;
    this.#log = log;
  }

  get lastRevision(): number {
    return this.#lastRevision;
  }

  /** @param newest the newest revision that the bucket's leader has */
  beginList(newest: number): void {
    // A store that lost unwritten data continues from an earlier revision, so everything may be new.
    if (newest < this.#lastRevision) this.#lastRevision = 0;
    this.#listed = { before: new Map(this.#known), seen: new Set(), upTo: 0 };
  }

  /** Reports missing keys as deleted, except keys that are newer than the whole list of a replica that is behind. */
  endList(): void {
    const listed = this.#listed;
    this.#listed = undefined;
    if (listed === undefined) return;
    for (const [key, revision] of listed.before) {
      const isGone = !listed.seen.has(key) && this.#known.get(key) === revision && revision <= listed.upTo;
      if (isGone) this.#report({ key, value: undefined, revision });
    }
  }

  take({ key, revision, data }: FeedEntry): void {
    if (this.#listed !== undefined) {
      this.#listed.seen.add(key);
      this.#listed.upTo = Math.max(this.#listed.upTo, revision);
    }
    if (revision <= this.#lastRevision) return;
    this.#lastRevision = revision;
    if (data === undefined) {
      this.#report({ key, revision, value: undefined });
      return;
    }
    let value: T;
    try {
      value = decodeRecord(this.bucket, data, key);
    } catch (error) {
      this.#log.error({ error }, "skipped an unreadable record");
      return;
    }
    this.#report({ key, revision, value });
  }

  #report(change: Change<T>): void {
    if (change.value === undefined) this.#known.delete(change.key);
    else this.#known.set(change.key, change.revision);
    this.#see(change);
  }
}
