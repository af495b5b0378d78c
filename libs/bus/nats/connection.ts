// The connection to NATS, and how often it is asked again while a server is away or has no leader.
import type { NatsConnection } from "nats";
import { GreenroomError } from "../../contracts/errors.ts";
import type { Log } from "../../runtime/log.ts";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import { AWAY_MS, STORE_PATIENCE_MS } from "../delivery-rules.ts";
import { isTimeout, wasRefusedForNow } from "./errors.ts";

const AGAIN_MS = 100;

/** The connection broke while a question was under way: it may have been carried out or not. */
class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

export class ReconnectingConnection {
  readonly connection: NatsConnection;
  readonly inboxPrefix: string;
  readonly #log: Log;
  readonly #onReconnected = new Set<() => void>();
  readonly #underWay = new Set<(error: Error) => void>();
  #connected = true;
  #back = withResolvers<void>();

  constructor(connection: NatsConnection, inboxPrefix: string, log: Log) {
    this.connection = connection;
    this.inboxPrefix = inboxPrefix;
    this.#log = log;
    void this.#followStatus();
    void connection.closed().then(() => this.#disconnected());
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  /** Called each time that the connection is back, perhaps on another server. @returns what ends that */
  onReconnected(call: () => void): () => void {
    this.#onReconnected.add(call);
    return () => this.#onReconnected.delete(call);
  }

  /**
   * Asks the store. What nobody was there to answer is asked again: a cluster that lost a leader has none for
   * some seconds (nats-server's followers wait 4 to 9 s before they choose a new one).
   *
   * @param ask is told for how long it has been tried, in ms
   * @param mayRepeat whether it may also be asked again when nobody knows if it was carried out
   * @throws what the last try threw, or GreenroomError storage_unavailable when there is no connection
   */
  async ask<T>(doing: string, ask: (triedMs: number) => Promise<T>, mayRepeat: boolean): Promise<T> {
    const startedAt = performance.now();
    const deadline = startedAt + STORE_PATIENCE_MS;
    for (;;) {
      await this.#connectedSoon(doing);
      try {
        return await this.#unlessLost(ask(performance.now() - startedAt));
      } catch (error) {
        const isWorthIt = wasRefusedForNow(error) || (mayRepeat && isUncertain(error));
        if (!isWorthIt || performance.now() > deadline) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /** What is written while there is no connection is lost with the next try to get one, so it isn't. */
  async #connectedSoon(doing: string): Promise<void> {
    if (this.#connected) return;
    let late: NodeJS.Timeout | undefined;
    const isLate = new Promise<void>((resolve) => {
      late = setTimeout(resolve, AWAY_MS);
    });
    await Promise.race([this.#back.promise, isLate]);
    clearTimeout(late);
    if (this.#connected) return;
    throw new GreenroomError("storage_unavailable", `${doing}: there is no connection to NATS.`);
  }

  /** The client itself would wait for an answer that can't come any more. */
  #unlessLost<T>(answer: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#underWay.add(reject);
      answer.then(resolve, reject).finally(() => this.#underWay.delete(reject));
    });
  }

  async #followStatus(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect") {
        this.#disconnected();
        this.#log.warn({ server: status.data }, "NATS is away; reconnecting until it is back");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.#back.resolve();
        for (const call of this.#onReconnected) call();
        this.#log.info({ server: status.data }, "NATS is back");
      }
    }
  }

  #disconnected(): void {
    if (this.#connected) this.#back = withResolvers<void>();
    this.#connected = false;
    for (const reject of this.#underWay) reject(new ConnectionLost("the connection to NATS was lost"));
    this.#underWay.clear();
  }
}

const isUncertain = (error: unknown): boolean => error instanceof ConnectionLost || isTimeout(error);
