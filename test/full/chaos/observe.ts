// Watches the cluster directly, bypassing every proxy: revisions of sessions, and announcements of hosts.
import { connect, type JetStreamManager, type NatsConnection } from "nats";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { hostChanges, sessionEvents } from "../../../libs/contracts/streams.ts";
import type { HostReport, RunMs, StoredEvent, Written } from "./evidence.ts";
import { FORGERY_HEADER } from "./forger.ts";

const KV_STREAM = `KV_${sessions.name}`;
const KEY_PREFIX = `$KV.${sessions.name}.`;
const EVERY_MS = 200;
const READ_AT_ONCE = 16;
const NOT_FOUND = "10037";

interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly operation: string;
  /** The server's time, in ms since 1970. */
  readonly storedAt: number;
  readonly forgery: StoredEvent["forgery"];
}

export class Observer {
  readonly hosts: HostReport[] = [];
  readonly #written = new Map<number, Written>();
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #now: () => RunMs;
  /** The start of the run on this machine's clock, which the servers share. */
  readonly #beganAt: number;
  #isOver = false;

  static async connect(url: string, now: () => RunMs): Promise<Observer> {
    const connection = await connect({
      servers: url.split(","),
      name: "chaos-observer",
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      pingInterval: 2000,
      maxPingOut: 2,
      timeout: 5000,
    });
    const manager = await connection.jetstreamManager({ checkAPI: false, timeout: 5000 });
    return new Observer(connection, manager, now);
  }

  private constructor(connection: NatsConnection, manager: JetStreamManager, now: () => RunMs) {
    this.#connection = connection;
    this.#manager = manager;
    this.#now = now;
    this.#beganAt = Date.now() - now();
    connection.subscribe(hostChanges.subject, { callback: (_, message) => this.#onHost(message.data) });
    void this.#follow();
  }

  /** All seen revisions, in the order of the stream. */
  written(): Written[] {
    return [...this.#written.values()].sort((a, b) => a.revision - b.revision);
  }

  /** The newest record of each session, by its key. */
  records(): Map<string, SessionRecord> {
    const newest = new Map<string, SessionRecord>();
    for (const { key, record } of this.written()) {
      if (record === undefined) newest.delete(key);
      else newest.set(key, record);
    }
    return newest;
  }

  /**
   * Reads the whole bucket again, and adds what the watch has missed.
   * @returns revisions that were seen but are gone or have another value now
   */
  async complete(): Promise<{ key: string; revision: number; what: string }[]> {
    const stored = new Map((await this.#readAll(KV_STREAM)).map((message) => [message.seq, message]));
    const changed = [...this.#written.values()].flatMap((seen) => {
      const now = stored.get(seen.revision);
      if (now === undefined) return [{ ...seen, what: "was seen and is no longer stored" }];
      const isSame = JSON.stringify(this.#parsed(now).record) === JSON.stringify(seen.record);
      return isSame ? [] : [{ ...seen, what: "was seen with another value than is stored" }];
    });
    for (const message of stored.values()) this.#see(message);
    return changed.map(({ key, revision, what }) => ({ key, revision, what }));
  }

  /** All messages of the SESSIONS stream. */
  async events(): Promise<StoredEvent[]> {
    return (await this.#readAll(sessionEvents.stream)).map(({ seq, subject, data, storedAt, forgery }) => {
      const event = SessionEvent.safeParse(jsonOf(data)).data;
      const stored = { sequence: seq, storedAtMs: storedAt - this.#beganAt, subject, event };
      return forgery === undefined ? stored : { ...stored, forgery };
    });
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#connection.close();
  }

  /**
   * Reads message by message, by sequence. A consumer would have to be created again whenever a fault hits its node.
   */
  async #follow(): Promise<void> {
    let next = 1;
    while (!this.#isOver) {
      try {
        for (const message of await this.#readAll(KV_STREAM, next)) {
          this.#see(message);
          next = message.seq + 1;
        }
      } catch {
        // The stream has no leader, or the connection is lost. The next round reads on.
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  #see(message: StoredMessage): void {
    if (!this.#written.has(message.seq)) this.#written.set(message.seq, this.#parsed(message));
  }

  #parsed({ seq, subject, data, operation, storedAt }: StoredMessage): Written {
    const isRemoval = operation === "DEL" || operation === "PURGE";
    return {
      seenAtMs: this.#now(),
      storedAtMs: storedAt - this.#beganAt,
      key: subject.slice(KEY_PREFIX.length),
      revision: seq,
      record: isRemoval ? undefined : SessionRecord.parse(jsonOf(data)),
    };
  }

  #onHost(data: Uint8Array): void {
    const host = HostRecord.safeParse(jsonOf(data)).data;
    if (host !== undefined) this.hosts.push({ atMs: this.#now(), host });
  }

  async #readAll(stream: string, from = 1): Promise<StoredMessage[]> {
    const { state } = await this.#manager.streams.info(stream);
    const found: StoredMessage[] = [];
    let next = Math.max(from, state.first_seq);
    const readOn = async () => {
      while (next <= state.last_seq) {
        const seq = next++;
        try {
          const stored = await this.#manager.streams.getMessage(stream, { seq });
          const operation = stored.header?.get("KV-Operation") ?? "";
          found.push({
            seq,
            subject: stored.subject,
            data: stored.data,
            operation,
            storedAt: stored.time.getTime(),
            forgery: (stored.header?.get(FORGERY_HEADER) || undefined) as StoredEvent["forgery"],
          });
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: READ_AT_ONCE }, readOn));
    return found.sort((a, b) => a.seq - b.seq);
  }
}

const isMissing = (error: unknown): boolean => {
  const { code, message, api_error } = error as {
    code?: string;
    message?: string;
    api_error?: { err_code?: number };
  };
  return code === "404" || String(api_error?.err_code) === NOT_FOUND || message === "no message found";
};

function jsonOf(data: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
}
