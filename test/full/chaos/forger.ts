// Stores messages that are stale or false: repeated, late and forged events, and nonsense.
import {
  connect,
  headers,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  StringCodec,
} from "nats";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { nonsense } from "../../kit/fixtures/poison.ts";
import { staleEvent } from "../../kit/fixtures/stale-events.ts";
import { pickOne, type Random } from "../../kit/random.ts";
import type { StoredEvent } from "./evidence.ts";

export interface Forged {
  /** The sequence of the stored message. */
  readonly sequence: number;
  readonly subject: string;
  readonly forgery: NonNullable<StoredEvent["forgery"]>;
}

/** Marks forged messages in the stream itself, because the answer to a publish may be lost. */
export const FORGERY_HEADER = "Chaos-Forgery";

/** The number of newest messages from which the forger repeats one. */
const LATEST = 200;
const NONSENSE = Object.values(nonsense) as [Uint8Array, ...Uint8Array[]];

const text = StringCodec();

export class Forger {
  readonly #connection: NatsConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #random: Random;

  /** @param url the address of the cluster itself, bypassing every proxy */
  static async connect(url: string, random: Random): Promise<Forger> {
    const connection = await connect({
      servers: url.split(","),
      name: "chaos-forger",
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      timeout: 5000,
    });
    return new Forger(connection, await connection.jetstreamManager({ checkAPI: false }), random);
  }

  private constructor(connection: NatsConnection, manager: JetStreamManager, random: Random) {
    this.#connection = connection;
    this.#js = connection.jetstream({ timeout: 5000 });
    this.#manager = manager;
    this.#random = random;
  }

  /**
   * Publishes one message about one of these sessions, whose records must exist: a repeated request of a purged
   * session would create the session again.
   *
   * @returns the stored message, undefined if none was stored or the answer was lost
   */
  async forge(records: readonly SessionRecord[]): Promise<Forged | undefined> {
    const [first, ...others] = records;
    if (first === undefined) return undefined;
    const record = pickOne(this.#random, [first, ...others]);
    const kind = this.#random();
    try {
      if (kind < 0.15) return await this.#nonsense(record);
      if (kind < 0.55) return await this.#stale(record);
      return await this.#repeat(new Set(records.map(({ sessionId: id }) => id)));
    } catch {
      // The cluster may have no leader at the moment.
      return undefined;
    }
  }

  async stop(): Promise<void> {
    await this.#connection.close();
  }

  async #nonsense(record: SessionRecord): Promise<Forged> {
    const type = pickOne(this.#random, ["joined", "ready", "requested", "no-such-type"]);
    const subject = `session.${record.tenant}.${record.sessionId}.${type}`;
    return await this.#store(subject, pickOne(this.#random, NONSENSE), "nonsense");
  }

  async #stale(record: SessionRecord): Promise<Forged> {
    const event = staleEvent(this.#random, record, new Date().toISOString());
    const isOld = "attempt" in event && event.attempt < record.attempt;
    const forgery = isOld ? "old_attempt" : "other_host";
    return await this.#store(sessionEvents.subjectOf(event), text.encode(JSON.stringify(event)), forgery);
  }

  /** Publishes a stored message again. A new one is a repetition; an old one arrives out of order. */
  async #repeat(ids: ReadonlySet<string>): Promise<Forged | undefined> {
    const { state } = await this.#manager.streams.info(sessionEvents.stream);
    const back = Math.floor(this.#random() ** 2 * LATEST);
    const sequence = state.last_seq - back;
    if (sequence < Math.max(1, state.first_seq)) return undefined;
    const stored = await this.#manager.streams.getMessage(sessionEvents.stream, { seq: sequence });
    const id = stored.subject.split(".")[2] ?? "";
    if (!ids.has(id)) return undefined;
    return await this.#store(stored.subject, stored.data, back < 5 ? "repeated" : "late");
  }

  /** Publishes without a message id, because the stream would drop a duplicate. */
  async #store(subject: string, data: Uint8Array, forgery: Forged["forgery"]): Promise<Forged> {
    const mark = headers();
    mark.set(FORGERY_HEADER, forgery);
    const { seq } = await this.#js.publish(subject, data, { headers: mark });
    return { sequence: seq, subject, forgery };
  }
}
