// One run of a consumer on a bucket: what stands there, and then each change, until it breaks.
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

/** The server says so often that the consumer lives. */
const HEARTBEAT_MS = 1000;
const LOOK_MS = 500;
/** Looks in a row without a sign of life. Looks are counted, not time: a process that was stopped has missed nothing. */
const SILENT_LOOKS = 5;
/** The server forgets a consumer that nobody listened to for so long. */
const FORGOTTEN_AFTER_MS = 10_000;
/** A replica that lives and never catches up is given up after so long without an entry. */
const STUCK_MS = 20_000;

export interface FeedOptions {
  readonly bucket: string;
  /** The subjects of the keys that are told. */
  readonly subjects: string;
  /** Tells no values, only which keys there are: whatever isn't a mark is empty. */
  readonly keysOnly?: boolean;
}

export interface FeedEntry {
  readonly key: string;
  readonly revision: number;
  /** Undefined for the mark that a deletion leaves. */
  readonly data: Uint8Array | undefined;
}

export interface Feed {
  /** When it is over, with the reason; undefined after `stop`. */
  readonly ended: Promise<Error | undefined>;
  stop(): void;
}

/**
 * Tells the newest entry of each key and then the changes; answers when all that stands there by now was told.
 * What that is, the bucket's leader knows: a consumer may sit at a replica that is behind, so what it calls everything need not be everything.
 *
 * The client's own watch asks for a sign of life every 5 s and waits for a third one before it acts, so the
 * death of the node that holds its consumer would go unnoticed for 15 s.
 *
 * @throws whatever kept it from getting so far
 */
export async function openFeed(
  link: ReconnectingConnection,
  manager: JetStreamManager,
  options: FeedOptions,
  tell: (entry: FeedEntry) => void,
): Promise<Feed> {
  const upTo = await newestRevision(manager, options);
  const feed = new RunningFeed(link, manager, options, tell);
  await feed.begin(upTo);
  return feed;
}

class RunningFeed implements Feed {
  readonly ended: Promise<Error | undefined>;
  readonly #link: ReconnectingConnection;
  readonly #manager: JetStreamManager;
  readonly #options: FeedOptions;
  readonly #tell: (entry: FeedEntry) => void;
  readonly #end = withResolvers<Error | undefined>();
  readonly #caughtUp = withResolvers<void>();
  readonly #name = new Nuid().next();
  readonly #looking: NodeJS.Timeout;
  readonly #forget: () => void;
  #received = 0;
  /** The newest revision that was told. */
  #told = 0;
  /** The one that is told last of what stands there. */
  #upTo = 0;
  #isCaughtUp = false;
  #stuck: NodeJS.Timeout | undefined;
  #silentLooks = 0;
  #isOver = false;

  constructor(
    link: ReconnectingConnection,
    manager: JetStreamManager,
    options: FeedOptions,
    tell: (entry: FeedEntry) => void,
  ) {
    this.#link = link;
    this.#manager = manager;
    this.#options = options;
    this.#tell = tell;
    this.ended = this.#end.promise;
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    // The server may be another one, or have forgotten the consumer.
    this.#forget = link.onReconnected(() => this.#finish(new Error("the connection was lost in between")));
  }

  async begin(upTo: number): Promise<void> {
    const { bucket, subjects, keysOnly = false } = this.#options;
    this.#upTo = upTo;
    const inbox = createInbox(this.#link.inboxPrefix);
    const subscription = this.#link.connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) this.#finish(error);
        else this.#hear(message);
      },
    });
    void this.ended.then(() => subscription.unsubscribe());
    this.#stuck = setTimeout(() => this.#finish(new Error("its consumer does not catch up")), STUCK_MS);
    try {
      const made = this.#manager.consumers.add(`KV_${bucket}`, {
        name: this.#name,
        deliver_subject: inbox,
        deliver_policy: DeliverPolicy.LastPerSubject,
        ack_policy: AckPolicy.None,
        filter_subject: subjects,
        headers_only: keysOnly,
        flow_control: true,
        idle_heartbeat: nanos(HEARTBEAT_MS),
        inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
        mem_storage: true,
        num_replicas: 1,
        max_deliver: 1,
      });
      await unlessOver(made, this.ended);
      this.#lookWhetherCaughtUp();
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
    clearInterval(this.#looking);
    this.#forget();
    this.#end.resolve(reason);
    // Left alone it would be forgotten later.
    if (this.#link.isConnected) {
      void this.#manager.consumers.delete(`KV_${this.#options.bucket}`, this.#name).catch(() => {});
    }
  }

  #look(): void {
    this.#silentLooks += 1;
    if (this.#silentLooks > SILENT_LOOKS && this.#link.isConnected) {
      this.#finish(new Error("its consumer gave no sign of life"));
    }
  }

  #hear(message: Msg): void {
    if (this.#isOver) return;
    this.#silentLooks = 0;
    if (isFlowControlMsg(message)) message.respond();
    else if (isHeartbeatMsg(message)) this.#checkNothingMissed(message);
    else this.#take(message);
  }

  /** A sign of life says how much was sent, and where to answer when the server waits for us. */
  #checkNothingMissed(heartbeat: Msg): void {
    const stalled = heartbeat.headers?.get("Nats-Consumer-Stalled");
    if (stalled) this.#link.connection.publish(stalled);
    const sent = Number(heartbeat.headers?.get("Nats-Last-Consumer"));
    if (sent > this.#received) this.#finish(new Error("a change did not arrive"));
    else if (!this.#isCaughtUp) void this.#askAgain().catch(() => {});
  }

  #take(message: Msg): void {
    const { revision, place } = addressOf(message.reply ?? "");
    if (place !== this.#received + 1) {
      this.#finish(new Error("a change did not arrive"));
      return;
    }
    const key = keyOfSubject({ name: this.#options.bucket }, message.subject);
    this.#tell({ key, revision, data: isDeleteMarker(message.headers) ? undefined : message.data });
    this.#received = place;
    this.#told = revision;
    this.#stuck?.refresh();
    this.#lookWhetherCaughtUp();
  }

  #lookWhetherCaughtUp(): void {
    if (this.#isCaughtUp || this.#told < this.#upTo) return;
    this.#isCaughtUp = true;
    this.#caughtUp.resolve();
  }

  /** What was the newest when it was asked may be gone before it is sent, as the mark of a removal is in time. */
  async #askAgain(): Promise<void> {
    this.#upTo = await newestRevision(this.#manager, this.#options);
    this.#lookWhetherCaughtUp();
  }
}

/** The newest revision that stands there, as the bucket's leader has it; 0 when there is none. */
async function newestRevision(manager: JetStreamManager, { bucket, subjects }: FeedOptions): Promise<number> {
  try {
    // Not the number of the last write: its message may have had a time to live, as marks do.
    return (await manager.streams.getMessage(`KV_${bucket}`, { last_by_subj: subjects })).seq;
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
}

/**
 * Where a delivered message stands in the stream, and which of its consumer's it is. Both are in the subject
 * that would ack it (NATS ADR-15): `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.…`,
 * in front of the stream perhaps a domain and an account, and then one more word at the end.
 */
function addressOf(reply: string): { revision: number; place: number } {
  const words = reply.split(".");
  const first = words.length > 9 ? 7 : 5;
  return { revision: Number(words[first]), place: Number(words[first + 1]) };
}

function unlessOver<T>(work: Promise<T>, ended: Promise<Error | undefined>): Promise<T> {
  const isOver = ended.then((error) => {
    throw error ?? new Error("it was stopped");
  });
  return Promise.race([work, isOver]);
}
