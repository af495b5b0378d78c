// How messages and records travel. Services know this interface; NATS is behind it, or a simulation.
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import type { Channel, Command, Topic } from "../contracts/streams.ts";

/**
 * What a handler says of a message: `done` acks it; `retry` has it delivered again after a pause, which
 * grows with the deliveries. A thrown error is logged and means `retry`.
 */
export type Verdict = "done" | "retry";

export interface Delivery {
  readonly subject: string;
  /** Its place in the stream: the same at every delivery, and larger for what was stored later. */
  readonly sequence: number;
  /** 1 for the first time. */
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
  /** The name under which the stream remembers what was handled; all who share it share the work. */
  readonly durable: string;
  /** Messages in hand at once, at most. */
  readonly concurrency: number;
  /** Deliveries after which a message goes to the dead letters; 30 when nothing is said. */
  readonly maxDeliveries?: number;
}

export type Stop = () => Promise<void>;

export interface PageOptions {
  readonly limit: number;
  /** Only what was stored before this sequence. */
  readonly before?: number;
}

export interface ScanOptions {
  /** One subject, or many by NATS's wildcards: `*` is one token, `>` is one or more to the end. */
  readonly subject: string;
  /** Only what was stored after this sequence. */
  readonly after?: number;
  readonly limit: number;
}

export interface ServeOptions {
  /** Each question goes to one of those who serve with the same queue; without one, to everybody who serves. */
  readonly queue?: string;
}

/** A stream or bucket, and who takes from it. */
export interface StorageStats {
  /** As its channel or bucket names it. */
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** 0 for no limit. */
  readonly maxBytes: number;
  readonly consumers: readonly {
    readonly durable: string;
    /** Stored and not yet handed out; handed out and not yet done. */
    readonly pending: number;
    readonly inHand: number;
  }[];
}

export interface Stored<T> {
  readonly sequence: number;
  readonly message: T;
}

/** Thrown for a key whose value nobody can read: written by hand, by another version, or damaged. */
export class UnreadableRecord extends GreenroomError {
  /** At which it stands, for who writes a good one over it. */
  readonly revision: number;

  constructor(revision: number, reason: string) {
    super("unreadable_record", reason);
    this.revision = revision;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: what is in it is of no matter.
export type AnyStore = Channel<any> | Bucket<any>;

export interface Bus {
  /**
   * Stores a message; answers once the stream has acknowledged it.
   * @returns duplicate: true when the same thing (by the channel's idOf) was stored before.
   * @throws GreenroomError storage_full, storage_unavailable
   */
  publish<T>(channel: Channel<T>, message: T): Promise<{ duplicate: boolean }>;

  /**
   * Hands stored messages to `handle`, each until it is `done`. One that isn't of the channel's shape, or
   * that was delivered too often, goes to the dead letters with a reason.
   */
  consume<T>(
    channel: Channel<T>,
    options: ConsumeOptions,
    handle: (message: T, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop>;

  /**
   * Hands each stored revision of a bucket to one of those who share `durable`, until it is `done`: the news of a
   * bucket for who must not miss any, as `consume` is for a stream. It begins with what stands there already.
   *
   * - What the bucket no longer holds is passed over: revisions that were pushed out of a key's history, before
   *   they were handed out or before they were `done`. The newest of each key always comes.
   * - A removed key comes with the value undefined, if there is somebody to hear of it within two minutes: the
   *   mark of a removal lives no longer. What the bucket's time to live took comes not at all.
   * - The revisions of one key may come out of order, at the same time, and again, also to different processes.
   *   A handler that needs the order looks at `revision`, or reads what stands there now.
   * - A record that nobody can read, or that was delivered too often, goes to the dead letters.
   *
   * The delivery's sequence is the revision, and its subject `$KV.<bucket>.<key>`.
   * @throws GreenroomError storage_unavailable
   */
  follow<T>(
    bucket: Bucket<T>,
    options: ConsumeOptions,
    handle: (change: Change<T>, delivery: Delivery) => Promise<Verdict>,
  ): Promise<Stop>;

  /**
   * Removes all that is stored, when it is called, on the subjects of a stream or under the keys of a bucket that
   * a filter with wildcards covers (`call.acme.>`, `acme.>`). What is stored meanwhile may stay, so who has to be
   * certain stops what writes and purges until nothing went.
   *
   * - Of a channel that has a relief, what that still holds goes too, or it would be handed on later.
   * - Ids of purged messages stay known for ten minutes: the same thing published again is a duplicate, and is
   *   not stored.
   * - Nobody who consumes or follows is given any more what is gone; what they have in hand, they have.
   * - The keys of a bucket go one by one, each leaving the mark of a removal for those who watch and follow. Where
   *   it fails on the way, a part is gone; done again, it removes the rest.
   *
   * @param filter never a part of a token: `acme.s*` covers the key of that name only
   * @returns how many messages or revisions went; too few when an answer was lost and it was asked again
   * @throws GreenroomError storage_unavailable
   */
  purge(store: AnyStore, filter: string): Promise<number>;

  /**
   * Removes one stored message, whose bytes the server overwrites. For what no subject tells apart; `purge` is for
   * the rest. Whoever has it in hand has it.
   * @returns false when there is none (any more)
   * @throws GreenroomError storage_unavailable
   */
  erase<T>(channel: Channel<T>, sequence: number): Promise<boolean>;

  /**
   * How full a stream or bucket is, from 0 to 1 of the bytes that it may have.
   * @throws GreenroomError storage_unavailable
   */
  usageRatio(store: AnyStore): Promise<number>;

  /**
   * How every stream and bucket of ours that is there stands, and what those who share a durable have before them.
   * @throws GreenroomError storage_unavailable
   */
  storageStats(): Promise<StorageStats[]>;

  /** The newest stored messages on one subject, oldest first, without those that nobody could read. */
  recent<T>(channel: Channel<T>, subject: string, limit: number): Promise<T[]>;

  /** The stored messages of a whole stream, newest first, a page at a time. */
  page<T>(channel: Channel<T>, options: PageOptions): Promise<Stored<T>[]>;

  /**
   * A page of the stored messages on some subjects, oldest first, without those that nobody could read. Fewer than
   * `limit` means that there are no more. The next page comes after the last one's sequence; on a channel with one
   * message a subject, what was replaced meanwhile has moved to the end, and comes again.
   *
   * On a channel with `direct` any replica answers, perhaps one that is behind by some messages; on others the
   * stream's leader does, a question for each message.
   * @throws GreenroomError storage_unavailable
   */
  scan<T>(channel: Channel<T>, options: ScanOptions): Promise<Stored<T>[]>;

  /**
   * Where the newest message on some subjects stands, 0 when there is none; wildcards as in `scan`.
   * @throws GreenroomError storage_unavailable
   */
  lastSequence<T>(channel: Channel<T>, subject: string): Promise<number>;

  /** Says something to whoever listens now; nobody is an audience too. */
  publishTransient<T>(topic: Topic<T>, message: T): void;
  subscribe<T>(topic: Topic<T>, hear: (message: T) => void): Promise<Stop>;

  /**
   * Asks one host.
   * @throws GreenroomError no_responders (nobody got it), timeout (it may have been done or not)
   */
  request<Q, A>(command: Command<Q, A>, host: string, question: Q): Promise<A>;

  /**
   * Answers the questions to one host. The answer of one that dies while it has a question is a time-out to who
   * asked; the next question goes to another of its queue, once the server knows of the death: at once for a
   * process that ended, within 20 s for one that hangs or was cut off.
   */
  serve<Q, A>(
    command: Command<Q, A>,
    host: string,
    answer: (question: Q) => Promise<A>,
    options?: ServeOptions,
  ): Promise<Stop>;

  /** @throws UnreadableRecord; GreenroomError storage_unavailable */
  read<T>(bucket: Bucket<T>, key: string): Promise<Entry<T> | undefined>;

  /**
   * Compare-and-set: stores `value` if the key still stands at `revision` (0: there is none).
   * @returns the new revision, or undefined when somebody else was faster. After a lost answer it looks
   *   whether the value stands there, so undefined really means that this write didn't happen.
   * @throws GreenroomError storage_full, storage_unavailable
   */
  save<T>(bucket: Bucket<T>, value: T, revision: number): Promise<number | undefined>;

  /** Deletes a key, if it still stands at `revision`; false when it doesn't. */
  remove<T>(bucket: Bucket<T>, key: string, revision: number): Promise<boolean>;

  /**
   * Every entry there is, without those that nobody could read.
   * @param filter only those under the keys that it covers, by NATS's wildcards, as `acme.>`
   */
  list<T>(bucket: Bucket<T>, filter?: string): Promise<Entry<T>[]>;

  /** The stored revisions of one key, oldest first. */
  history<T>(bucket: Bucket<T>, key: string): Promise<Entry<T>[]>;

  /**
   * Tells every entry there is and then each change, until stopped. Answers when the present ones were all
   * told. What nobody could read is logged and passed over. It may skip revisions between two looks: wake up by
   * it and cache from it, don't count on it.
   */
  watch<T>(bucket: Bucket<T>, see: (change: Change<T>) => void): Promise<Stop>;

  /** Looks after what nobody else does: which node of a cluster leads which stream. To be called every now and then. */
  rebalanceLeaders(): Promise<void>;

  /** True while the connection stands. */
  isConnected(): boolean;
  close(): Promise<void>;
}

/**
 * What stands under a key that the caller owns and can make again: with an unreadable value it is only known
 * where it stands, so that a good one can be saved over it.
 */
export async function readOwn<T>(
  bus: Bus,
  bucket: Bucket<T>,
  key: string,
): Promise<{ readonly value: T | undefined; readonly revision: number }> {
  try {
    return (await bus.read(bucket, key)) ?? { value: undefined, revision: 0 };
  } catch (error) {
    if (error instanceof UnreadableRecord) return { value: undefined, revision: error.revision };
    throw error;
  }
}
