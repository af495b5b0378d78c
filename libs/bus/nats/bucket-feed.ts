// Runs one consumer on a bucket until it breaks: delivers the stored entries, and then each change.
import {
  AckPolicy,
  createInbox,
  DeliverPolicy,
  isFlowControlMsg,
  isHeartbeatMsg,
  type JetStreamManager,
  type Msg,
  Nuid,
  nanos,
} from "nats";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import { keyOfSubject } from "../codec.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { isDeleteMarker } from "./delete-markers.ts";
import { isNotFound } from "./errors.ts";

/** Checks in a row without a heartbeat. Counting checks instead of time tolerates a pause of this process. */
const MISSED_CHECKS = 5;
/** The server removes a consumer without a subscriber after this time. */
const FORGOTTEN_AFTER_MS = 10_000;
/** A feed whose replica never catches up fails after this time without an entry. */
const STUCK_MS = 20_000;

export interface FeedOptions {
  readonly bucket: string;
  /** The subjects of the keys to deliver. */
  readonly subjects: string;
  /** Delivers keys without values: entries other than delete markers are empty. */
  readonly keysOnly?: boolean;
}

export interface FeedEntry {
  readonly key: string;
  readonly revision: number;
  /** Undefined for a delete marker. */
  readonly data: Uint8Array | undefined;
}

export interface Feed {
  /** Resolves at the end of the feed, with the reason; undefined after `stop`. */
  readonly ended: Promise<Error | undefined>;
  stop(): void;
}

/**
 * Delivers the newest entry of each key and then the changes. Returns once the present entries were delivered. The
 * bucket's leader defines which these are, since the consumer may run on a replica that is behind.
 *
 * The client's own watch has a heartbeat of 5 s and tolerates two missed ones. In a cluster, it would notice
 * the death of its consumer's node after 15 s.
 *
 * @throws the error that ended the feed before that
 */
export async function openFeed(
  link: ReconnectingConnection,
  manager: JetStreamManager,
  options: FeedOptions,
  deliver: (entry: FeedEntry) => void,
): Promise<Feed> {
  const upTo = await newestRevision(manager, options);
  const feed = new RunningFeed(link, manager, options, deliver);
  await feed.begin(upTo);
  return feed;
}

class RunningFeed implements Feed {
  readonly ended: Promise<Error | undefined>;
  readonly #link: ReconnectingConnection;
  readonly #manager: JetStreamManager;
  readonly #options: FeedOptions;
  readonly #deliver: (entry: FeedEntry) => void;
  readonly #end = withResolvers<Error | undefined>();
  readonly #caughtUp = withResolvers<void>();
  readonly #name = new Nuid().next();
  readonly #stopChecking: () => void;
  readonly #forget: () => void;
  #received = 0;
  /** The newest delivered revision. */
  #delivered = 0;
  /** The last revision of the present entries. */
  #upTo = 0;
  #isCaughtUp = false;
  #stuck: NodeJS.Timeout | undefined;
  #missedChecks = 0;
  #isOver = false;

  constructor(
    link: ReconnectingConnection,
    manager: JetStreamManager,
    options: FeedOptions,
    deliver: (entry: FeedEntry) => void,
  ) {
    this.#link = link;
    this.#manager = manager;
    this.#options = options;
    this.#deliver = deliver;
    this.ended = this.#end.promise;
    this.#stopChecking = link.heartbeatChecks.add(() => this.#check());
    // The new server may not know the consumer.
    this.#forget = link.onReconnected(() => this.#finish(new Error("the connection was lost")));
  }

  async begin(upTo: number): Promise<void> {
    const { bucket, subjects, keysOnly = false } = this.#options;
    this.#upTo = upTo;
    const inbox = createInbox(this.#link.inboxPrefix);
    const subscription = this.#link.connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) this.#finish(error);
        else this.#receive(message);
      },
    });
    void this.ended.then(() => subscription.unsubscribe());
    this.#stuck = setTimeout(() => this.#finish(new Error("the consumer does not catch up")), STUCK_MS);
    try {
      const made = this.#manager.consumers.add(`KV_${bucket}`, {
        name: this.#name,
        deliver_subject: inbox,
        deliver_policy: DeliverPolicy.LastPerSubject,
        ack_policy: AckPolicy.None,
        filter_subject: subjects,
        headers_only: keysOnly,
        flow_control: true,
        idle_heartbeat: nanos(this.#link.heartbeatMs),
        inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
        mem_storage: true,
        num_replicas: 1,
        max_deliver: 1,
      });
      await unlessOver(made, this.ended);
      this.#checkCaughtUp();
      await unlessOver(this.#caughtUp.promise, this.ended);
    } catch (error) {
      this.#finish(undefined);
      throw error;
    } finally {
      clearTimeout(this.#stuck);
      this.#stuck = undefined;
    }
  }

  stop(): void {
    this.#finish(undefined);
  }

  #finish(reason: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopChecking();
    this.#forget();
    this.#end.resolve(reason);
    // Otherwise the server would remove it later.
    if (this.#link.isConnected) {
      void this.#manager.consumers.delete(`KV_${this.#options.bucket}`, this.#name).catch(() => {});
    }
  }

  #check(): void {
    this.#missedChecks += 1;
    if (this.#missedChecks > MISSED_CHECKS && this.#link.isConnected) {
      this.#finish(new Error("the consumer sent no heartbeat"));
    }
  }

  #receive(message: Msg): void {
    if (this.#isOver) return;
    this.#missedChecks = 0;
    if (isFlowControlMsg(message)) message.respond();
    else if (isHeartbeatMsg(message)) this.#checkNothingMissed(message);
    else this.#take(message);
  }

  /** A heartbeat contains the number of sent messages, and the reply subject when the server waits for flow control. */
  #checkNothingMissed(heartbeat: Msg): void {
    const stalled = heartbeat.headers?.get("Nats-Consumer-Stalled");
    if (stalled) this.#link.connection.publish(stalled);
    const sent = Number(heartbeat.headers?.get("Nats-Last-Consumer"));
    if (sent > this.#received) this.#finish(new Error("a change was missed"));
    else if (!this.#isCaughtUp) void this.#updateTarget().catch(() => {});
  }

  #take(message: Msg): void {
    const { revision, consumerSeq } = addressOf(message.reply ?? "");
    if (consumerSeq !== this.#received + 1) {
      this.#finish(new Error("a change was missed"));
      return;
    }
    const key = keyOfSubject({ name: this.#options.bucket }, message.subject);
    this.#deliver({ key, revision, data: isDeleteMarker(message.headers) ? undefined : message.data });
    this.#received = consumerSeq;
    this.#delivered = revision;
    this.#stuck?.refresh();
    this.#checkCaughtUp();
  }

  #checkCaughtUp(): void {
    if (this.#isCaughtUp || this.#delivered < this.#upTo) return;
    this.#isCaughtUp = true;
    this.#caughtUp.resolve();
  }

  /** The target revision may be removed before it is sent, for example a delete marker that expires. */
  async #updateTarget(): Promise<void> {
    this.#upTo = await newestRevision(this.#manager, this.#options);
    this.#checkCaughtUp();
  }
}

/** The newest stored revision on the bucket's leader; 0 when there is none. */
async function newestRevision(manager: JetStreamManager, { bucket, subjects }: FeedOptions): Promise<number> {
  try {
    // The sequence of the last write is no target: its message may have expired, like a delete marker.
    return (await manager.streams.getMessage(`KV_${bucket}`, { last_by_subj: subjects })).seq;
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
}

/**
 * The stream and consumer sequences of a delivered message, from its ack subject (NATS ADR-15):
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.…`. A domain and an account may precede the
 * stream, with another token at the end.
 */
function addressOf(reply: string): { revision: number; consumerSeq: number } {
  const words = reply.split(".");
  const first = words.length > 9 ? 7 : 5;
  return { revision: Number(words[first]), consumerSeq: Number(words[first + 1]) };
}

function unlessOver<T>(work: Promise<T>, ended: Promise<Error | undefined>): Promise<T> {
  const isOver = ended.then((error) => {
    throw error ?? new Error("the feed was stopped");
  });
  return Promise.race([work, isOver]);
}
