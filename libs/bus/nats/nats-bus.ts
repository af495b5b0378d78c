// The bus on NATS: connects, and assembles the parts.
import { connect, type NatsConnection } from "nats";
import { deadLetters } from "../../contracts/streams.ts";
import type { Log } from "../../runtime/log.ts";
import type { Admin, Bus, Core, KeyValue, Streams } from "../bus.ts";
import { REQUEST_TIMEOUT_MS, STORE_TIMEOUT_MS } from "../delivery-rules.ts";
import { NatsAdmin } from "./admin.ts";
import { type JetStream, ReconnectingConnection } from "./connection.ts";
import { NatsCore } from "./core.ts";
import { NatsKeyValue } from "./kv.ts";
import { provision } from "./provision.ts";
import { NatsStreams } from "./streams.ts";
import { whenReady } from "./wait-until-ready.ts";

export interface NatsBusOptions {
  readonly url: string;
  /** Appears in `nats server report connections`. */
  readonly name: string;
  readonly replicas: number;
  readonly log: Log;
  /** Called when the connection is closed for good without `close()`: the process should exit. */
  readonly onLost: (error: unknown) => void;
}

/**
 * Connects, waits until NATS is ready, and creates missing streams and buckets.
 *
 * By default the client gives up after ten reconnects, and notices a dead peer after minutes. With these options it
 * never gives up, and notices within seconds.
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const inboxPrefix = `_INBOX.${options.name.replace(/[^A-Za-z0-9_-]/g, "-")}`;
  const stopReporting = reportWaiting(options);
  const connection = await connect({
    servers: options.url.split(",").map((server) => server.trim()),
    name: options.name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    pingInterval: 1500,
    maxPingOut: 2,
    timeout: 2000,
    waitOnFirstConnect: true,
    inboxPrefix,
  }).finally(stopReporting);
  const js = connection.jetstream({ timeout: REQUEST_TIMEOUT_MS });
  try {
    await whenReady(() => prepare(connection, options), options.replicas, options.log);
  } catch (error) {
    await connection.close();
    throw error;
  }
  const link = new ReconnectingConnection(connection, { ...options, inboxPrefix });
  const manager = await connection.jetstreamManager({ timeout: REQUEST_TIMEOUT_MS, checkAPI: false });
  return new NatsBus({ link, js, manager, log: options.log }, options.onLost);
}

const REPORT_EVERY_MS = 5000;

/** Logs a line every 5 s until the returned function is called: the client itself waits silently. */
function reportWaiting({ url, log }: NatsBusOptions): () => void {
  const withoutPasswords = url.replace(/\/\/[^/@]*@/g, "//");
  let seconds = 0;
  const timer = setInterval(() => {
    seconds += REPORT_EVERY_MS / 1000;
    log.warn(`waiting for NATS at ${withoutPasswords}: no connection after ${seconds} s. Is NATS_URL right?`);
  }, REPORT_EVERY_MS);
  return () => clearInterval(timer);
}

async function prepare(connection: NatsConnection, { replicas, log }: NatsBusOptions): Promise<void> {
  const manager = await connection.jetstreamManager({ timeout: STORE_TIMEOUT_MS });
  await provision(manager, replicas, log);
}

class NatsBus implements Bus {
  readonly streams: Streams;
  readonly kv: KeyValue;
  readonly core: Core;
  readonly admin: Admin;
  readonly #link: ReconnectingConnection;
  #closing = false;

  constructor(jetstream: JetStream, onLost: NatsBusOptions["onLost"]) {
    const { link, log } = jetstream;
    const streams = new NatsStreams(jetstream);
    this.streams = streams;
    this.kv = new NatsKeyValue(jetstream, (letter) => streams.publish(deadLetters, letter));
    this.core = new NatsCore(link, log);
    this.admin = new NatsAdmin(jetstream);
    this.#link = link;
    void link.connection.closed().then((error) => {
      if (!this.#closing) onLost(error ?? new Error("NATS closed the connection"));
    });
  }

  isConnected(): boolean {
    return this.#link.isConnected;
  }

  async close(): Promise<void> {
    this.#closing = true;
    // `drain` sends what is still in the buffer, and would wait for a server that is gone.
    if (this.#link.isConnected) await this.#link.connection.drain().catch(() => {});
    else await this.#link.connection.close();
  }
}
