// A TCP proxy that simulates a bad network: slow, silent, one-way, half-open or reset.
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";

export interface Badness {
  /** The delay of each piece of data, in both directions. */
  readonly delayMs?: number;
  /** Drops one direction: `up` from the client to the server, `down` back. */
  readonly oneWay?: "up" | "down";
  /** Drops everything silently, including new connections. */
  readonly blackhole?: boolean;
  /** Keeps existing connections, and accepts new ones without forwarding anything. */
  readonly halfOpen?: boolean;
}

export interface TcpProxy {
  readonly port: number;
  /** Replaces the previous faults. Delayed data keeps its order. */
  set(badness: Badness): void;
  /** Resets every connection (RST). New ones are accepted as before. */
  resetAll(): void;
  /** Removes all faults. Connections with dropped data are reset, because TCP can't continue them. */
  heal(): void;
  stop(): Promise<void>;
}

export interface ProxyOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly port?: number;
}

/** Starts a proxy on loopback. @throws Error if the port is taken */
export async function startTcpProxy(options: ProxyOptions): Promise<TcpProxy> {
  const proxy = new BadNetwork(options.target);
  const server = net.createServer({ noDelay: true }, (client) => proxy.accept(client));
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    set: (badness) => proxy.set(badness),
    resetAll: () => proxy.resetAll(),
    heal: () => proxy.heal(),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      proxy.resetAll();
      await closed;
    },
  };
}

class BadNetwork {
  readonly #target: ProxyOptions["target"];
  readonly #pairs = new Set<Pair>();
  #badness: Badness = {};

  constructor(target: ProxyOptions["target"]) {
    this.#target = target;
  }

  accept(client: net.Socket): void {
    const { blackhole = false, halfOpen = false } = this.#badness;
    const pair = new Pair(
      client,
      blackhole || halfOpen ? undefined : net.connect(this.#target),
      () => this.#badness,
    );
    this.#pairs.add(pair);
    pair.onClosed = () => this.#pairs.delete(pair);
  }

  set(badness: Badness): void {
    this.#badness = badness;
  }

  resetAll(): void {
    for (const pair of [...this.#pairs]) pair.reset();
  }

  heal(): void {
    this.#badness = {};
    for (const pair of [...this.#pairs]) if (pair.hasLost) pair.reset();
  }
}

/** A client's connection and the matching one to the server. */
class Pair {
  onClosed: () => void = () => {};
  readonly #client: net.Socket;
  readonly #server: net.Socket | undefined;
  readonly #badness: () => Badness;
  #hasLost = false;

  constructor(client: net.Socket, server: net.Socket | undefined, badness: () => Badness) {
    this.#client = client;
    this.#server = server;
    this.#badness = badness;
    // A connection that was accepted without a server can't work any more.
    this.#hasLost = server === undefined;
    server?.setNoDelay(true);
    this.#pass(client, server, "up");
    if (server !== undefined) this.#pass(server, client, "down");
  }

  /** True if the proxy dropped data that TCP must deliver. Then the connection can't continue. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#server?.resetAndDestroy();
    this.onClosed();
  }

  #pass(from: net.Socket, to: net.Socket | undefined, way: "up" | "down"): void {
    // The queue keeps pieces in order, even when the delay gets shorter.
    let line = Promise.resolve();
    from.on("data", (piece) => {
      if (this.#isDropped(way) || to === undefined) {
        this.#hasLost = true;
        return;
      }
      const { delayMs = 0 } = this.#badness();
      if (delayMs > 0) {
        const due = sleep(delayMs);
        line = line.then(() => due);
      }
      from.pause();
      line = line.then(() => this.#write(to, piece)).then(() => void from.resume());
    });
    from.on("end", () => {
      // The end of a connection is a packet too, which a bad network drops.
      if (this.#isDropped(way)) this.#hasLost = true;
      else line = line.then(() => void to?.end());
    });
    from.on("error", () => this.#torn(way));
    from.on("close", () => {
      if (!this.#isDropped(way)) void line.then(() => this.#closed(to));
    });
  }

  #isDropped(way: "up" | "down"): boolean {
    const { blackhole = false, oneWay } = this.#badness();
    return blackhole || oneWay === way;
  }

  async #write(to: net.Socket, piece: Buffer): Promise<void> {
    if (to.destroyed || to.write(piece)) return;
    await Promise.race([once(to, "drain"), once(to, "close")]).catch(() => {});
  }

  #torn(way: "up" | "down"): void {
    if (!this.#isDropped(way)) this.reset();
  }

  #closed(to: net.Socket | undefined): void {
    if (to?.destroyed === false) to.end();
    if (this.#client.destroyed && this.#server?.destroyed !== false) this.onClosed();
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
