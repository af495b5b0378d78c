// A bus on the memory server, for one simulated process: behaves like the bus on NATS.
import type { Admin, Bus, Core, KeyValue, Streams } from "../../../libs/bus/bus.ts";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import { MemoryAdmin } from "./client-admin.ts";
import { MemoryCore } from "./client-core.ts";
import { MemoryKeyValue } from "./client-kv.ts";
import { MemoryStreams } from "./client-streams.ts";
import type { Link } from "./connection.ts";
import { Consuming } from "./consuming.ts";
import { Requests } from "./requests.ts";
import type { MemoryWorld } from "./shared.ts";

/** A client of the memory server. Only its connection is simulated: the process's own timers continue. */
export interface MemoryClient extends Bus {
  readonly name: string;
  /** Like `kill -9`: the process sends and receives nothing any more, and none of its calls returns. */
  crash(): void;
  /** Like SIGSTOP: all messages of the process wait. After 20 s its subscriptions are suspended until it resumes. */
  pause(): void;
  resume(): void;
  /** Cuts the process off from the server, like a pulled cable: calls time out. */
  cut(): void;
  heal(): void;
}

export class MemoryBus implements MemoryClient {
  readonly streams: Streams;
  readonly kv: KeyValue;
  readonly core: Core;
  readonly admin: Admin;
  readonly #link: Link;

  constructor(world: MemoryWorld, link: Link) {
    const requests = new Requests(world, link);
    const consuming = new Consuming(world, link, requests, (letter) =>
      this.streams.publish(deadLetters, letter),
    );
    this.#link = link;
    this.streams = new MemoryStreams(world, requests, consuming);
    this.kv = new MemoryKeyValue(world, link, requests, consuming);
    this.core = new MemoryCore(world, link, requests);
    this.admin = new MemoryAdmin(world, requests);
  }

  get name(): string {
    return this.#link.name;
  }

  isConnected(): boolean {
    return this.#link.knowsItIsConnected();
  }

  async close(): Promise<void> {
    this.#link.close();
  }

  crash(): void {
    this.#link.crash();
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }

  cut(): void {
    this.#link.cut();
  }

  heal(): void {
    this.#link.heal();
  }
}
