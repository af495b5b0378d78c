// Inspects NATS for tools. Creates nothing, does not wait for a server, and reads unreadable messages too.
import {
  connect,
  headers,
  type JetStreamAccountStats,
  type JetStreamManager,
  type NatsConnection,
  type StreamInfo,
} from "nats";
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import { isNotFound } from "./errors.ts";

/** The server's own information at the connection. */
export interface ServerFacts {
  readonly version: string;
  readonly name: string;
  readonly maxPayloadBytes: number;
  readonly hasJetStream: boolean;
  readonly cluster: string | undefined;
  readonly domain: string | undefined;
  /** Half of it is the uncertainty of a time in an answer. */
  readonly roundTripMs: number;
}

/** One stored message, valid or not. */
export interface RawStored {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  /** When the stream stored it, on the clock of its leader. */
  readonly at: Date;
  /** Undefined for a delete marker. */
  readonly text: string | undefined;
}

export type AccountFacts = Pick<JetStreamAccountStats, "storage" | "streams" | "limits" | "domain">;

export interface ConsumerFacts {
  readonly name: string;
  /** Stored and not delivered yet. */
  readonly pending: number;
  /** Delivered and not acked yet, and the number of these that were delivered more than once. */
  readonly inHand: number;
  readonly redelivered: number;
}

const TIMEOUT_MS = 3000;
/** nats-server's page size for the subjects of a stream. */
const SUBJECTS_A_PAGE = 100_000;

export class NatsInspector {
  readonly connection: NatsConnection;
  readonly server: ServerFacts;
  readonly inboxPrefix: string;
  #manager: JetStreamManager | undefined;

  constructor(connection: NatsConnection, server: ServerFacts, inboxPrefix: string) {
    this.connection = connection;
    this.server = server;
    this.inboxPrefix = inboxPrefix;
  }

  /**
   * JetStream's information on the account.
   * @throws NatsError without JetStream, or without permission
   */
  async account(): Promise<AccountFacts> {
    return await (await this.manager()).getAccountInfo();
  }

  async stream(name: string): Promise<StreamInfo | undefined> {
    try {
      return await (await this.manager()).streams.info(name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async consumers(stream: string): Promise<ConsumerFacts[]> {
    const found: ConsumerFacts[] = [];
    try {
      for await (const info of (await this.manager()).consumers.list(stream)) {
        // A consumer without a name belongs to a watch or to one read, and goes with it.
        if (info.config.durable_name === undefined) continue;
        found.push({
          name: info.name,
          pending: info.num_pending,
          inHand: info.num_ack_pending,
          redelivered: info.num_redelivered,
        });
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return found;
  }

  /** The subjects of a stream that have messages; none if there is no such stream. */
  async subjects(stream: string, filter: string): Promise<string[]> {
    const found = new Set<string>();
    for (let offset = 0; ; offset += SUBJECTS_A_PAGE) {
      const answer = await this.#ask(`STREAM.INFO.${stream}`, { subjects_filter: filter, offset });
      const page = Object.keys((answer?.state as { subjects?: object } | undefined)?.subjects ?? {});
      for (const subject of page) found.add(subject);
      if (page.length < SUBJECTS_A_PAGE) return [...found];
    }
  }

  /** The stored messages on a subject or pattern, oldest first; none if there is no such stream. */
  async stored(stream: string, subject: string, limit: number): Promise<RawStored[]> {
    const manager = await this.manager();
    const found: RawStored[] = [];
    try {
      for (let next = 1; found.length < limit; ) {
        const query = { seq: next, next_by_subj: subject } as { seq: number };
        const message = await manager.streams.getMessage(stream, query);
        const isMarker = ["KV-Operation", "Nats-Marker-Reason"].some((name) => message.header?.get(name));
        found.push({
          stream,
          sequence: message.seq,
          subject: message.subject,
          at: message.time,
          text: isMarker ? undefined : new TextDecoder().decode(message.data),
        });
        next = message.seq + 1;
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return found;
  }

  /** Subscribes to a subject until the returned function is called. Ignores messages that are not JSON. */
  subscribe(subject: string, take: (message: Record<string, unknown>) => void): () => void {
    const subscription = this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return;
        try {
          take(message.json());
        } catch {
          // Not JSON.
        }
      },
    });
    return () => subscription.unsubscribe();
  }

  /** Created at the first use, since a server without JetStream can be inspected too. */
  async manager(): Promise<JetStreamManager> {
    this.#manager ??= await this.connection.jetstreamManager({ timeout: TIMEOUT_MS });
    return this.#manager;
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  async #ask(path: string, question: object): Promise<Record<string, unknown> | undefined> {
    const message = await this.connection.request(`$JS.API.${path}`, JSON.stringify(question), {
      timeout: TIMEOUT_MS,
    });
    const answer = message.json<
      Record<string, unknown> & { error?: { description: string; code: number } }
    >();
    if (answer.error?.code === 404) return undefined;
    if (answer.error !== undefined) throw new Error(answer.error.description);
    return answer;
  }
}

/** @throws GreenroomError storage_unavailable with the address and the reason */
export async function inspectNats(url: string, name: string): Promise<NatsInspector> {
  const inboxPrefix = `_INBOX.${name}`;
  let connection: NatsConnection;
  try {
    connection = await connect({
      servers: url.split(",").map((server) => server.trim()),
      name,
      inboxPrefix,
      reconnect: false,
      maxReconnectAttempts: 0,
      timeout: TIMEOUT_MS,
    });
  } catch (error) {
    throw new GreenroomError("storage_unavailable", `NATS at ${url}: ${messageOf(error)}`, { cause: error });
  }
  const info = connection.info as
    | (NonNullable<NatsConnection["info"]> & { domain?: string; cluster?: string; server_name?: string })
    | undefined;
  return new NatsInspector(
    connection,
    {
      version: info?.version ?? "unknown",
      name: info?.server_name ?? "",
      maxPayloadBytes: info?.max_payload ?? 0,
      hasJetStream: info?.jetstream === true,
      cluster: info?.cluster,
      domain: info?.domain,
      roundTripMs: await connection.rtt(),
    },
    inboxPrefix,
  );
}

/** Headers with which every stream refuses a message, so that a probe stores nothing. */
export function refusedByEveryStream() {
  const refused = headers();
  refused.set("Nats-Expected-Stream", "NONE_OF_THIS_NAME");
  return refused;
}
