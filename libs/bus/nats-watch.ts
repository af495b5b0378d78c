// Watching KV buckets on JetStream, through reconnections and ends of the client's own watch.
import { type KV, type KvEntry, KvWatchInclude, type NatsConnection } from "nats";
import type { Bucket } from "../contracts/buckets.ts";
import { deferred } from "../process/deferred.ts";
import type { Log } from "../process/log.ts";
import type { Change, Stop } from "./bus.ts";
import { decodeRecord } from "./codec.ts";

/** The pause before a watch that ended is tried again. */
const REWATCH_MS = 250;

interface Watching {
  readonly ended: Promise<unknown>;
  stop(): void;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, REWATCH_MS));

export class NatsWatches {
  readonly #connection: NatsConnection;
  readonly #log: Log;
  readonly #restarts = new Set<() => void>();
  #reconnections = 0;

  constructor(connection: NatsConnection, log: Log) {
    this.#connection = connection;
    this.#log = log;
  }

  /** The consumers behind the watches may be gone with the server; the client alone finds out after 15 s. */
  reconnected(): void {
    this.#reconnections += 1;
    for (const restart of this.#restarts) restart();
  }

  /**
   * The client's own watch ends at some errors, so it is begun again until stopped. Keys that vanished in
   * between are told as deleted: a cache that is fed by this never keeps a ghost.
   */
  async watch<T>(kv: KV, bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop> {
    const known = new Map<string, number>();
    const tell = (change: Change<T>) => {
      if (change.value === undefined) known.delete(change.key);
      else known.set(change.key, change.revision);
      see(change);
    };
    let stopped = false;
    const isOver = () => stopped || this.#connection.isClosed();
    const reconnections = this.#reconnections;
    let current = await this.#watchOnce(kv, bucket, tell);
    const restart = () => current.stop();
    this.#restarts.add(restart);
    if (reconnections !== this.#reconnections) restart();
    const keepWatching = async () => {
      for (;;) {
        const error = await current.ended;
        if (isOver()) return;
        this.#log.info({ error, bucket: bucket.name }, "watching starts again");
        if (error !== undefined) await pause();
        const before = new Map(known);
        const seen = new Set<string>();
        const again = await this.#watchAgain(kv, bucket, isOver, (change) => {
          seen.add(change.key);
          tell(change);
        });
        if (again === undefined) return;
        current = again;
        for (const [key, revision] of before) {
          if (!seen.has(key) && known.get(key) === revision) tell({ key, value: undefined, revision });
        }
      }
    };
    void keepWatching();
    return async () => {
      stopped = true;
      this.#restarts.delete(restart);
      current.stop();
      await current.ended;
    };
  }

  /** Tries until it works on the connection as it then stands; undefined when stopped before. */
  async #watchAgain<T>(
    kv: KV,
    bucket: Bucket<T>,
    isOver: () => boolean,
    see: (change: Change<T>) => void,
  ): Promise<Watching | undefined> {
    while (!isOver()) {
      const reconnections = this.#reconnections;
      const watching = await this.#watchOnce(kv, bucket, see).catch(() => undefined);
      if (watching !== undefined && reconnections === this.#reconnections && !isOver()) return watching;
      watching?.stop();
      await pause();
    }
    return undefined;
  }

  /** One run of the client's watch; answers when everything that was there has been told. */
  async #watchOnce<T>(kv: KV, bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Watching> {
    const initialized = deferred<void>();
    const iterator = await kv.watch({
      include: KvWatchInclude.LastValue,
      initializedFn: initialized.resolve,
    });
    const caughtUp = deferred<void>();
    let processed = 0;
    let goal = Number.POSITIVE_INFINITY;
    const check = () => {
      if (processed >= goal) caughtUp.resolve();
    };
    const ended = (async () => {
      for await (const entry of iterator) {
        this.#tell(bucket, entry, see);
        processed += 1;
        check();
      }
    })().then(
      () => undefined,
      (error: unknown) => error,
    );
    // The client may call back while entries still wait in its queue; those belong to what was there.
    initialized.promise.then(() => {
      goal = iterator.getReceived();
      check();
    });
    const failed = await Promise.race([
      caughtUp.promise.then(() => undefined),
      ended.then((error) => ({ error })),
    ]);
    if (failed !== undefined) throw failed.error ?? new Error("the watch ended before it had begun");
    return { ended, stop: () => iterator.stop() };
  }

  #tell<T>(bucket: Bucket<T>, entry: KvEntry, see: (change: Change<T>) => void): void {
    const { key, revision } = entry;
    if (entry.operation !== "PUT") {
      see({ key, revision, value: undefined });
      return;
    }
    let value: T;
    try {
      value = decodeRecord(bucket, entry.value, key);
    } catch (error) {
      this.#log.error({ error }, "a record in the store can't be read; it is passed over");
      return;
    }
    see({ key, revision, value });
  }
}
