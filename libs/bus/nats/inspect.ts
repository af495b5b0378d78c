// A look at NATS as it stands, for tools: it makes nothing, waits for nothing, and reads what nobody else can.
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

/** What the server says of itself when one connects. */
export interface ServerFacts {
  readonly version: string;
  readonly name: string;
  readonly maxPayloadBytes: number;
  readonly hasJetStream: boolean;
  readonly cluster: string | undefined;
  readonly domain: string | undefined;
  /** Half of it is how late an answer's own time may be. */
  readonly roundTripMs: number;
}

/** One stored message as it is, also one that isn't of its channel's shape. */
export interface RawStored {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  /** When the stream stored it, on the clock of its leader. */
  readonly at: Date;
  /** Undefined for the mark of a removed key. */
  readonly text: string | undefined;
}

export type AccountFacts = Pick<JetStreamAccountStats, "storage" | "streams" | "limits" | "domain">;

export interface ConsumerFacts {
  readonly name: string;
  /** Stored and not yet handed out; handed out and not yet settled; of those, handed out more than once. */
  readonly pending: number;
  readonly inHand: number;
  readonly redelivered: number;
}

const TIMEOUT_MS = 3000;
/** What nats-server lists of a stream's subjects at once. */
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
   * JetStream's answer to who asks for the account.
   * @throws NatsError when there is no JetStream, or no right to ask
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
        // The others belong to who watches or reads a page, and go with them.
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

  /** The subjects of a stream that have messages; none of a stream that isn't there. */
  async subjects(stream: string, filter: string): Promise<string[]> {
    const found = new Set<string>();
    for (let offset = 0; ; offset += SUBJECTS_A_PAGE) {
      const answer = await this.#ask(`STREAM.INFO.${stream}`, { subjects_filter: filter, offset });
      const page = Object.keys((answer?.state as { subjects?: object } | undefined)?.subjects ?? {});
      for (const subject of page) found.add(subject);
      if (page.length < SUBJECTS_A_PAGE) return [...found];
    }
  }

  /** The stored messages on some subjects, oldest first; none of a stream that isn't there. */
  async stored(stream: string, subject: string, limit: number): Promise<RawStored[]> {
    const manager = await this.manager();
    const found: RawStored[] = [];
    try {
      for (let next = 1; found.length < limit; ) {
        const query = { seq: next, next_by_subj: subject } as { seq: number };
        const message = await manager.streams.getMessage(stream, query);
        const isMark = ["KV-Operation", "Nats-Marker-Reason"].some((name) => message.header?.get(name));
        found.push({
          stream,
          sequence: message.seq,
          subject: message.subject,
          at: message.time,
          text: isMark ? undefined : new TextDecoder().decode(message.data),
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

  /** Made at the first use: without JetStream there is none, and what else there is can be looked at all the same. */
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

/** @throws GreenroomError storage_unavailable, saying where nothing answers or what was refused */
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

/** A header with which a stream refuses a message, since it is not of that name: it can be tried without storing it. */
export function refusedByEveryStream() {
  const refused = headers();
  refused.set("Nats-Expected-Stream", "NONE_OF_THIS_NAME");
  return refused;
}
