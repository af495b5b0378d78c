// A connection that stays open (server-sent events, WebSocket): kept alive, and cut when its client stops reading.
import type { Gateway } from "../context.ts";

/** Proxies close a silent connection, most of them after a minute. */
const HEARTBEAT_MS = 15_000;
/** A client with this much unread does not read: its backlog would grow without bound. */
const MAX_BACKLOG_BYTES = 256 * 1024;

/** The part in which server-sent events and WebSockets differ. */
export interface Wire {
  send(text: string): void;
  ping(): void;
  /** Whether the client has read or answered anything since the last ping. */
  hasAnswered(): boolean;
  unreadBytes(): number;
  /** Ends the connection with a reason, since this gateway stops. */
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

  /** @param client its address, by which streams are limited @param fields of the log */
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

  /** Must be called when the connection has closed, by either side; may be called twice. */
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
