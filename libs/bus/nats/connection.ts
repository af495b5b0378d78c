// The connection to NATS. Retries requests while a server is away or has no leader.
import type { JetStreamClient, JetStreamManager, NatsConnection } from "nats";
import { GreenroomError } from "../../contracts/errors.ts";
import type { Log } from "../../runtime/log.ts";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import { AWAY_MS, STORE_PATIENCE_MS } from "../delivery-rules.ts";
import { isTimeout, wasRefusedForNow } from "./errors.ts";
import { SharedInterval } from "./shared-interval.ts";

const RETRY_MS = 100;

/** The connection was lost during a request, which may have been executed or not. */
class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

/** The client objects for JetStream. */
export interface JetStream {
  readonly link: ReconnectingConnection;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly log: Log;
}

/** Every message wakes both processes, so a consumer that is idle sends few heartbeats. */
const HEARTBEAT_MS = 5000;
/** In a cluster, the node of a consumer may die while the connection to another node lives. */
const CLUSTER_HEARTBEAT_MS = 1000;

export interface ConnectionOptions {
  readonly inboxPrefix: string;
  readonly replicas: number;
  readonly log: Log;
}

export class ReconnectingConnection {
  readonly connection: NatsConnection;
  readonly inboxPrefix: string;
  /** How often the server shows that a consumer still exists. */
  readonly heartbeatMs: number;
  /** Calls twice in the time of a heartbeat. */
  readonly heartbeatChecks: SharedInterval;
  readonly #log: Log;
  readonly #onReconnected = new Set<() => void>();
  readonly #inProgress = new Set<(error: Error) => void>();
  #connected = true;
  #back = withResolvers<void>();

  constructor(connection: NatsConnection, { inboxPrefix, replicas, log }: ConnectionOptions) {
    this.connection = connection;
    this.inboxPrefix = inboxPrefix;
    const isCluster = replicas > 1 || connection.info?.cluster !== undefined;
    this.heartbeatMs = isCluster ? CLUSTER_HEARTBEAT_MS : HEARTBEAT_MS;
    this.heartbeatChecks = new SharedInterval(this.heartbeatMs / 2);
    this.#log = log;
    void this.#followStatus();
    void connection.closed().then(() => this.#disconnected());
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  /** Calls after each reconnection, perhaps to another server, until the returned function is called. */
  onReconnected(call: () => void): () => void {
    this.#onReconnected.add(call);
    return () => this.#onReconnected.delete(call);
  }

  /**
   * Sends a request to the store, and repeats it while there is no leader. The followers of nats-server wait 4 to 9 s
   * before they elect a new one.
   *
   * @param ask gets the time since the first try, in ms
   * @param mayRepeat whether to repeat a request that may have been executed
   * @throws the error of the last try; GreenroomError storage_unavailable without a connection
   */
  async ask<T>(doing: string, ask: (triedMs: number) => Promise<T>, mayRepeat: boolean): Promise<T> {
    const startedAt = performance.now();
    const deadline = startedAt + STORE_PATIENCE_MS;
    for (;;) {
      await this.#connectedSoon(doing);
      try {
        return await this.#unlessLost(ask(performance.now() - startedAt));
      } catch (error) {
        const mayRetry = wasRefusedForNow(error) || (mayRepeat && isUncertain(error));
        if (!mayRetry || performance.now() > deadline) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Waits for the connection: the client would lose a request that is written without one. */
  async #connectedSoon(doing: string): Promise<void> {
    if (this.#connected) return;
    let late: NodeJS.Timeout | undefined;
    const isLate = new Promise<void>((resolve) => {
      late = setTimeout(resolve, AWAY_MS);
    });
    await Promise.race([this.#back.promise, isLate]);
    clearTimeout(late);
    if (this.#connected) return;
    throw new GreenroomError("storage_unavailable", `${doing}: no connection to NATS.`);
  }

  /** Rejects when the connection is lost. The client itself would keep waiting for the answer. */
  #unlessLost<T>(answer: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#inProgress.add(reject);
      answer.then(resolve, reject).finally(() => this.#inProgress.delete(reject));
    });
  }

  async #followStatus(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect") {
        this.#disconnected();
        this.#log.warn({ server: status.data }, "lost the connection to NATS; reconnecting");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.#back.resolve();
        for (const call of this.#onReconnected) call();
        this.#log.info({ server: status.data }, "reconnected to NATS");
      }
    }
  }

  #disconnected(): void {
    if (this.#connected) this.#back = withResolvers<void>();
    this.#connected = false;
    for (const reject of this.#inProgress) reject(new ConnectionLost("the connection to NATS was lost"));
    this.#inProgress.clear();
  }
}

const isUncertain = (error: unknown): boolean => error instanceof ConnectionLost || isTimeout(error);
