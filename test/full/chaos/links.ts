// The network of one service, with a proxy in front of each NATS node and of LiveKit.
import { type Badness, startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

interface Targets {
  readonly natsPorts: readonly number[];
  readonly livekitPort: number;
}

export type Side = "nats" | "livekit" | "both";

export class Links {
  readonly natsUrl: string;
  readonly livekitUrl: string;
  readonly #nats: readonly TcpProxy[];
  readonly #livekit: TcpProxy;

  static async open({ natsPorts, livekitPort }: Targets): Promise<Links> {
    const to = (port: number) => startTcpProxy({ target: { host: "127.0.0.1", port } });
    return new Links(await Promise.all(natsPorts.map(to)), await to(livekitPort));
  }

  private constructor(nats: readonly TcpProxy[], livekit: TcpProxy) {
    this.#nats = nats;
    this.#livekit = livekit;
    this.natsUrl = nats.map(({ port }) => `nats://127.0.0.1:${port}`).join(",");
    this.livekitUrl = `ws://127.0.0.1:${livekit.port}`;
  }

  spoil(side: Side, badness: Badness): void {
    for (const proxy of this.#of(side)) proxy.set(badness);
  }

  reset(side: Side): void {
    for (const proxy of this.#of(side)) proxy.resetAll();
  }

  heal(): void {
    for (const proxy of this.#of("both")) proxy.heal();
  }

  async close(): Promise<void> {
    await Promise.all(this.#of("both").map((proxy) => proxy.stop()));
  }

  #of(side: Side): readonly TcpProxy[] {
    if (side === "nats") return this.#nats;
    return side === "livekit" ? [this.#livekit] : [...this.#nats, this.#livekit];
  }
}
