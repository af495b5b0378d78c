// The interface by which services exchange messages and records. NATS implements it, and so does a simulation.
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import type { Channel, Command, Topic } from "../contracts/streams.ts";

/**
 * A handler's answer to a message: `ack` ends its delivery, `nak` redelivers it after a pause that grows with each
 * delivery. An error that the handler throws is logged and counts as `nak`.
 */
export type Ack = "ack" | "nak";

export interface Delivery {
  readonly subject: string;
  /** Position in the stream: the same at every redelivery, and larger for messages stored later. */
  readonly sequence: number;
  /** 1 for the first delivery. */
  readonly deliveries: number;
}

export interface Entry<T> {
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

/** A change in a bucket. `value` is undefined when the key was deleted. */
export interface Change<T> {
  readonly key: string;
  readonly value: T | undefined;
  readonly revision: number;
}

export interface ConsumeOptions {
  /** The name of the durable consumer. Processes that use the same name share the work. */
  readonly durable: string;
  /** For people who look at NATS. */
  readonly description: string;
  /** The most messages that this process handles at a time. */
  readonly concurrency: number;
  /** The number of failed deliveries after which a message becomes a dead letter; 30 by default. */
  readonly maxDeliveries?: number;
}

export type Stop = () => Promise<void>;

export interface ReadOptions {
  /** A subject, or a pattern with NATS's wildcards; by default every subject of the stream. */
  readonly subject?: string;
  /** The first and the last sequence to read, both inclusive; by default the whole stream. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly limit: number;
  /** `oldest-first` by default. The limit keeps the messages that come first in this order. */
  readonly order?: "oldest-first" | "newest-first";
}

/** A message with its position in the stream. */
export interface Stored<T> {
  readonly sequence: number;
  readonly message: T;
}

export interface ServeOptions {
  /** Each request goes to one member of the queue; without a queue, every subscriber gets every request. */
  readonly queue?: string;
}

/** Size and consumer backlog of a stream or bucket. */
export interface StorageStats {
  /** The name that its channel or bucket declares. */
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** 0 for no limit. */
  readonly maxBytes: number;
  readonly consumers: readonly {
    readonly durable: string;
    /** Messages not yet delivered. */
    readonly pending: number;
    /** Messages delivered and not yet acked. */
    readonly ackPending: number;
  }[];
}

/** Thrown for a key whose value cannot be decoded: written by hand, by another version, or damaged. */
export class UnreadableRecord extends GreenroomError {
  /** The revision to replace with a good value. */
  readonly revision: number;

  constructor(revision: number, reason: string) {
    super("unreadable_record", reason);
    this.revision = revision;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the type of the content does not matter here.
export type AnyStore = Channel<any> | Bucket<any>;

/** JetStream streams: every message is stored, and delivered at least once. */
export interface Streams {
  /**
   * Stores a message and returns after the stream has acknowledged it.
   * @returns duplicate: true when a message with the same id (by the channel's `idOf`) was already stored
   * @throws GreenroomError storage_full, storage_unavailable
   */
  publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }>;

  /**
   * Delivers stored messages to `handle` until each is acked. A message that does not match the channel's schema
   * becomes a dead letter at once; one that fails too often does later.
   */
  consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Ack>,
  ): Promise<Stop>;

  /**
   * Reads stored messages. Messages that cannot be decoded are skipped, and fewer than `limit` means that the
   * range holds no more. On a channel that keeps one message per subject, a replaced message moves to the end of
   * the stream. A later page can therefore contain it again.
   *
   * Cost, oldest-first: two requests to any replica if the channel has `allowDirect`, or one request to the leader
   * per message. A replica may lag by some messages.
   * Cost, newest-first: one request per message of the stream, or, with a subject, one pass over all messages on it.
   * The pass waits for a replica that lags. The newest message on a subject alone takes one request.
   * @throws GreenroomError storage_unavailable
   */
  read<T>(channel: Channel<T>, options: ReadOptions): Promise<Stored<T>[]>;

  /**
   * The sequence of the newest message on a subject or pattern; 0 when there is none.
   * @throws GreenroomError storage_unavailable
   */
  lastSequence<T>(channel: Channel<T>, subject: string): Promise<number>;
}

/** JetStream key-value buckets: one record per key, written by compare-and-set. */
export interface KeyValue {
  /** @throws UnreadableRecord; GreenroomError storage_unavailable */
  get<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined>;

  /**
   * Stores `value` if its key is still at `revision` (0: the key does not exist).
   * @returns the new revision, or undefined when another writer was faster. After a lost answer the key is read
   *   again, so undefined always means that this write did not happen.
   * @throws GreenroomError storage_full, storage_unavailable
   */
  update<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined>;

  /** Deletes a key if it is still at `revision`; false when it is not. */
  delete<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean>;

  /**
   * All entries that can be decoded.
   * @param filter limits them to the keys that match a pattern with NATS's wildcards, for example `acme.>`
   */
  entries<T>(bucket: Bucket<T>, filter?: string): Promise<Entry<T>[]>;

  /** The stored revisions of a key, oldest first. */
  history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]>;

  /**
   * Passes every present entry and then each change to `handle`, until stopped. Returns after the present entries.
   * Records that cannot be decoded are logged and skipped. A watch may skip revisions: use it to wake up and to
   * cache, and `consume` where every change counts.
   */
  watch<T>(bucket: Bucket<T>, handle: (change: Change<T>) => void): Promise<Stop>;

  /**
   * Delivers each stored revision of a bucket to one of the processes that share `durable`, until it is acked,
   * beginning with the present ones. The delivery's sequence is the revision, its subject `$KV.<bucket>.<key>`.
   *
   * - A revision that the bucket no longer holds is skipped. The newest revision of each key always arrives.
   * - A deleted key arrives with the value undefined if a consumer runs within two minutes, while the delete
   *   marker exists. A key that the bucket's time to live removed does not arrive.
   * - Revisions of one key may arrive out of order, at the same time, and repeatedly, also in different processes.
   *   A handler that needs the order compares `revision`, or reads the key.
   * - A record that cannot be decoded, or that fails too often, becomes a dead letter.
   *
   * @throws GreenroomError storage_unavailable
   */
  consume<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Ack>,
  ): Promise<Stop>;
}

/** Core NATS: nothing is stored, and delivery is at most once. */
export interface Core {
  /** Sends a message to the present subscribers, of which there may be none. */
  publishTransient<T>(topic: Topic<T>, message: T): void;

  subscribe<T>(topic: Topic<T>, handle: (message: T) => void): Promise<Stop>;

  /**
   * Sends a command to one host and waits for its answer.
   * @throws GreenroomError no_responders (no host received it), timeout (the host may have executed it)
   */
  request<Q, A>(command: Command<Q, A>, host: string, request: Q): Promise<A>;

  /**
   * Answers the requests to one host. If this process dies with a request, the caller gets a time-out. The next
   * request goes to another member of the queue once the server has noticed the death. The server notices an exit
   * at once, and a process that hangs or is cut off within 20 s.
   */
  serve<Q, A>(
    command: Command<Q, A>,
    host: string,
    respond: (request: Q) => Promise<A>,
    options?: ServeOptions,
  ): Promise<Stop>;
}

/** Upkeep of streams and buckets. */
export interface Admin {
  /**
   * Removes all messages of a stream, or all keys of a bucket, that match a pattern (`call.acme.>`, `acme.>`).
   * Messages stored during a purge may stay: to be certain, stop the writers and purge until nothing was removed.
   *
   * - The channel's overflow stream is purged too, or its messages would be forwarded later.
   * - The ids of purged messages stay known for ten minutes: publishing one again is a duplicate and stores nothing.
   * - Consumers receive no more of what is gone; a message that was already delivered stays with its handler.
   * - The keys of a bucket are removed one by one, and each leaves a delete marker. After a failure a part is
   *   gone; a second purge removes the rest.
   *
   * @param filter matches whole tokens only: `acme.s*` matches the key of that very name
   * @returns the number of messages or revisions removed; too few when an answer was lost and the request repeated
   * @throws GreenroomError storage_unavailable
   */
  purge(store: AnyStore, filter: string): Promise<number>;

  /**
   * Removes one message, whose bytes the server overwrites. For messages that no subject tells apart; use `purge`
   * for all others. A message that was already delivered stays with its handler.
   * @returns false when there is no such message
   * @throws GreenroomError storage_unavailable
   */
  deleteMessage<T>(channel: Channel<T>, sequence: number): Promise<boolean>;

  /**
   * The used share, from 0 to 1, of the bytes that a stream or bucket may have.
   * @throws GreenroomError storage_unavailable
   */
  usageRatio(store: AnyStore): Promise<number>;

  /**
   * Size and consumer backlog of every existing Greenroom stream and bucket.
   * @throws GreenroomError storage_unavailable
   */
  storageStats(): Promise<StorageStats[]>;

  /** Moves the leader of an overflow stream to another node than its stream's. Call it regularly. */
  rebalanceLeaders(): Promise<void>;
}

export interface Bus {
  readonly streams: Streams;
  readonly kv: KeyValue;
  readonly core: Core;
  readonly admin: Admin;
  isConnected(): boolean;
  close(): Promise<void>;
}

/**
 * The entry of a key that the caller owns and can rebuild. Of an unreadable value only the revision is returned,
 * so that the caller can replace it.
 */
export async function getOwn<T>(
  bus: Bus,
  bucket: Bucket<T>,
  key: string,
): Promise<{ readonly value: T | undefined; readonly revision: number }> {
  try {
    return (await bus.kv.get(bucket, key)) ?? { value: undefined, revision: 0 };
  } catch (error) {
    if (error instanceof UnreadableRecord) return { value: undefined, revision: error.revision };
    throw error;
  }
}
