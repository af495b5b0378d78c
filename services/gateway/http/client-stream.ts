// An open event stream or WebSocket: kept alive with pings, and closed when its client stops reading.
import type { Gateway } from "../context.ts";

/** Most proxies close a silent connection after a minute. */
const HEARTBEAT_MS = 15_000;
/** A client with more unread data is not reading, and its backlog would grow without limit. */
const MAX_BACKLOG_BYTES = 256 * 1024;

/** The differences between server-sent events and WebSockets. */
export interface Wire {
  send(text: string): void;
  ping(): void;
  /** Whether the client has read or answered anything since the last ping. */
  hasAnswered(): boolean;
  unreadBytes(): number;
  /** Ends the connection with a reason, because the gateway is stopping. */
  close(): void;
  /** Ends the connection of a client that does not read. */
  cut(): void;
}

type Deps = Pick<Gateway, "clock" | "config" | "log" | "streams">;

export class ClientStream {
  readonly #deps: Deps;
  readonly #wire: Wire;
  readonly #fields: Record<string, unknown>;
  readonly #forget: () => void;
  #cancelHeartbeat = () => {};
  #isClosed = false;

  /**
   * @param client the address of the client, for the limit of streams
   * @param fields fields for log lines
   */
  constructor(deps: Deps, wire: Wire, client: string, fields: Record<string, unknown> = {}) {
    this.#deps = deps;
    this.#wire = wire;
    this.#fields = fields;
    this.#forget = deps.streams.add(client, () => wire.close());
    this.#scheduleHeartbeat();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(text: string): void {
    if (this.#isClosed) return;
    this.#wire.send(text);
    if (this.#wire.unreadBytes() > MAX_BACKLOG_BYTES) this.#cut();
  }

  /** Call this when either side has closed the connection. May be called twice. */
  end(): void {
    this.#isClosed = true;
    this.#cancelHeartbeat();
    this.#forget();
  }

  #cut(): void {
    const unread = this.#wire.unreadBytes();
    this.#deps.log.warn({ ...this.#fields, unread }, "cut a client that does not read");
    this.end();
    this.#wire.cut();
  }

  #scheduleHeartbeat(): void {
    const { clock, config } = this.#deps;
    const intervalMs = Math.min(HEARTBEAT_MS, config.GREENROOM_SLOW_CLIENT_TIMEOUT_MS / 2);
    this.#cancelHeartbeat = clock.after(intervalMs, () => {
      if (!this.#wire.hasAnswered()) return this.#cut();
      this.#wire.ping();
      this.#scheduleHeartbeat();
    });
  }
}
