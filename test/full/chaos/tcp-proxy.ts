// A TCP proxy that can be told to be a bad network: slow, cut, silent, deaf in one direction, or torn.
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";

export interface Badness {
  /** Each piece waits so long, in both directions. */
  readonly delayMs?: number;
  /** Nothing gets through this way: `up` from the client to the server, `down` back. The other way works. */
  readonly oneWay?: "up" | "down";
  /** Nothing gets through, new connections included; nobody is told. */
  readonly blackhole?: boolean;
  /** Connections that stand go on; new ones are accepted and then hear nothing. */
  readonly halfOpen?: boolean;
}

export interface TcpProxy {
  readonly port: number;
  /** Replaces what was set before. Pieces that were kept back stay so until `heal`, and then go in order. */
  set(badness: Badness): void;
  /** Tears every connection with an RST. New ones are served as set. */
  resetAll(): void;
  /** A good network again. Connections from which something was kept back are torn, as their packets are lost. */
  heal(): void;
  stop(): Promise<void>;
}

export interface ProxyOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly port?: number;
}

/** Listens on loopback. @throws Error when the wanted port is taken */
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

/** A client's connection and the one to the server that goes with it. */
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
    // A client that was let in to hear nothing has no way back to a working connection.
    this.#hasLost = server === undefined;
    server?.setNoDelay(true);
    this.#pass(client, server, "up");
    if (server !== undefined) this.#pass(server, client, "down");
  }

  /** Whether something was swallowed that TCP would have to deliver: then the connection can't go on. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#server?.resetAndDestroy();
    this.onClosed();
  }

  #pass(from: net.Socket, to: net.Socket | undefined, way: "up" | "down"): void {
    // Pieces stay in order, also when the delay gets shorter.
    let line = Promise.resolve();
    from.on("data", (piece) => {
      if (this.#isSwallowed(way) || to === undefined) {
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
      // The end of a connection is a packet as well, and a bad network keeps it.
      if (this.#isSwallowed(way)) this.#hasLost = true;
      else line = line.then(() => void to?.end());
    });
    from.on("error", () => this.#torn(way));
    from.on("close", () => {
      if (!this.#isSwallowed(way)) void line.then(() => this.#closed(to));
    });
  }

  #isSwallowed(way: "up" | "down"): boolean {
    const { blackhole = false, oneWay } = this.#badness();
    return blackhole || oneWay === way;
  }

  async #write(to: net.Socket, piece: Buffer): Promise<void> {
    if (to.destroyed || to.write(piece)) return;
    await Promise.race([once(to, "drain"), once(to, "close")]).catch(() => {});
  }

  #torn(way: "up" | "down"): void {
    if (!this.#isSwallowed(way)) this.reset();
  }

  #closed(to: net.Socket | undefined): void {
    if (to?.destroyed === false) to.end();
    if (this.#client.destroyed && this.#server?.destroyed !== false) this.onClosed();
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
